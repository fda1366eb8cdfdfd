{{ config(
    pre_hook="{% if is_incremental() %}delete from {{ this }}{% endif %}",
    indexes=[{'columns': ['portfolio_id'], 'unique': true}]
) }}

select
    portfolios.portfolio_id,
    portfolios.portfolio_name,
    portfolios.valuation_currency,
    accounts.price_source
from {{ ref('stg_portfolios') }} as portfolios
inner join {{ ref('stg_accounts') }} as accounts on accounts.account_id = portfolios.account_id
