select labeller_a, labeller_b, message_count, agreement_ratio, kappa, kappa_low, kappa_high
from {{ source('core', 'label_agreement') }}
