{{ config(materialized='view') }}

select
    labeller_a,
    labeller_b,
    labeller_a like 'human:%' or labeller_b like 'human:%' as is_human_pair,
    message_count,
    agreement_ratio,
    kappa,
    kappa_low,
    kappa_high
from {{ ref('stg_label_agreement') }}
