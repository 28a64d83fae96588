{# What stood out at a tick, in the words of pnd_dagster.ranking.explanation.in_words: the metrics furthest from their history.
   NULL where no z was kept. #}
{% macro reasons(z, score_rule, at_most=3) -%}
    case when {{ z }} is not null then coalesce(
        (
            select string_agg(
                words || ' over ' || span || ' '
                || case when abs(value) > 1000 then 'more than 1,000' else to_char(round(abs(value)::numeric, 1), 'FM999999990.0') end
                || case when place_on_side > 1 then ''
                    when value > 0 then ' deviations above the last three days'
                    else ' deviations below the last three days' end,
                ', ' order by value <= 0, place_on_side
            )
            from (
                select *, row_number() over (partition by value > 0 order by place) as place_on_side
                from (
                    select
                        rule_column.words,
                        rule_column.span,
                        deviation.value,
                        row_number() over (
                            order by case when rule_column.is_positive_only then deviation.value else abs(deviation.value) end desc,
                            deviation.position
                        ) as place
                    from unnest({{ z }}) with ordinality as deviation (value, position)
                    inner join {{ ref('score_rule_columns') }} as rule_column
                        on rule_column.score_rule = {{ score_rule }} and rule_column.position = deviation.position
                    where deviation.value <> 'NaN'
                        and case when rule_column.is_positive_only then deviation.value else abs(deviation.value) end >= 3.0
                ) as standing_out
                where place <= {{ at_most }}
            ) as told
        ),
        'nothing stands out from the last three days'
    ) end
{%- endmacro %}

{# Rows of the contract of fct_ranking: the best coins of some ticks. `ticks` has the columns of stg_ranking_tick. #}
{% macro best_of(ticks) -%}
    select
        tick.ranking_id,
        tick.watch_id,
        watch.pump_id,
        tick.exchange,
        tick.bucket_end_at,
        tick.lead_seconds,
        tick.score_rule,
        tick.candidates,
        tick.active,
        ranked.instrument_id,
        instrument.pair,
        instrument.symbol,
        instrument.coin_id,
        ranked.rank,
        ranked.score,
        ranked.is_active,
        coalesce({{ reasons('ranked.z', 'tick.score_rule') }}, 'not kept') as reasons
    from {{ ticks }} as tick
    inner join {{ ref('stg_target_ranking') }} as ranked
        on tick.ranking_id = ranked.ranking_id
        and tick.bucket_end_at = ranked.bucket_end_at
        and ranked.rank <= {{ var('ranked_coins') }}
    left join {{ ref('stg_instrument') }} as instrument on ranked.instrument_id = instrument.instrument_id
    left join {{ ref('stg_watch') }} as watch on tick.watch_id = watch.watch_id
{%- endmacro %}
