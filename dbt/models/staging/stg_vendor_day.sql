select vendor, day, requests, credits, refusals
from {{ source('raw', 'vendor_quotas') }}
