//! The SQL of rate cards.

use postgres::PgPool;
use rust_decimal::Decimal;

use crate::rating::RateCard;

/// All cards with prices for pods, in order of their instants.
///
/// # Errors
/// If Postgres can't be read.
pub async fn pod_cards(pool: &PgPool) -> Result<Vec<RateCard>, sqlx::Error> {
    let rows: Vec<(String, String, i64, Decimal, Decimal)> = sqlx::query_as(
        "select card_id, currency, effective_from_ms, ocpu.price, memory.price
           from rate_cards
           join rates ocpu using (card_id)
           join rates memory using (card_id)
          where ocpu.item = 'ocpu_hour' and memory.item = 'memory_gb_hour'
          order by effective_from_ms",
    )
    .fetch_all(pool)
    .await?;
    let card = |(id, currency, effective_from_ms, ocpu_hour, memory_gb_hour): (_, _, _, Decimal, Decimal)| RateCard {
        id,
        currency,
        effective_from_ms,
        ocpu_hour: ocpu_hour.normalize(),
        memory_gb_hour: memory_gb_hour.normalize(),
    };
    Ok(rows.into_iter().map(card).collect())
}
