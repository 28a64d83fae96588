{{ config(materialized='view') }}

select vendor, day, requests, credits, refusals
from {{ ref('stg_vendor_day') }}
