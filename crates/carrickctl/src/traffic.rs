//! `carrickctl traffic`: the traffic between locations, and its cost.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Cell, Column, Document, Style, Table, View, units};
use crate::snapshot::Snapshot;

/// The number of hours in a month by which cloud providers bill.
const HOURS_A_MONTH: f64 = 730.0;
/// The number of bytes in a gigabyte by which cloud providers bill.
const GIGABYTE: f64 = 1e9;

/// The prices of a gigabyte, for ordered pairs of locations.
///
/// ```yaml
/// currency: USD
/// default: 0.01
/// prices:
///   - {from: aws-frankfurt, to: basel, per_gb: 0.09}
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// The currency of the prices.
    #[serde(default)]
    pub currency: String,
    /// The price of a gigabyte between two locations without an entry in `prices`.
    #[serde(default)]
    pub default: Option<f64>,
    /// The prices of pairs.
    #[serde(default)]
    pub prices: Vec<Price>,
}

/// The price of a gigabyte from one location to another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// The location that sends; `*` matches every location.
    pub from: String,
    /// The location that receives; `*` matches every location.
    pub to: String,
    /// The price of a gigabyte (10⁹ bytes).
    pub per_gb: f64,
}

impl Prices {
    /// Reads a YAML or JSON file.
    ///
    /// # Errors
    /// The file cannot be read, contains anything else, or contains a negative price.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path).map_err(|error| Failure::File { path: path.to_owned(), error })?;
        let wrong = |reason: String| Failure::Content { path: path.to_owned(), reason };
        let prices: Self = serde_yaml_ng::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        let all = prices.prices.iter().map(|price| price.per_gb).chain(prices.default);
        match all.into_iter().find(|price| !price.is_finite() || *price < 0.0) {
            Some(price) => Err(wrong(format!("{price} is not a valid price per gigabyte"))),
            None => Ok(prices),
        }
    }

    /// The price from one location to another: the first exact entry, otherwise the first entry that matches with `*`, otherwise the
    /// default. Traffic inside a location costs nothing, unless an exact entry says otherwise.
    fn of(&self, from: &str, to: &str) -> Option<f64> {
        let matches = |pattern: &str, name: &str| pattern == "*" || pattern == name;
        let exact = |price: &&Price| price.from == from && price.to == to;
        let wildcard = |price: &&Price| from != to && matches(&price.from, from) && matches(&price.to, to);
        let named = self.prices.iter().find(exact).or_else(|| self.prices.iter().find(wildcard));
        named.map(|price| price.per_gb).or_else(|| if from == to { Some(0.0) } else { self.default })
    }
}

/// The traffic between locations.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrafficTable {
    /// The ordered pairs of locations.
    pub pairs: Vec<PairTraffic>,
    /// The total cost per month at the current rate, if there are prices.
    pub per_month: Option<f64>,
    /// The currency of the prices.
    pub currency: String,
    /// The nodes whose agents cannot be reached, and why. Their traffic is missing.
    pub unreachable: BTreeMap<String, String>,
}

/// The traffic from one location to another.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PairTraffic {
    /// The location that sends.
    pub from: String,
    /// The location that receives.
    pub to: String,
    /// Bytes sent since the agents started.
    pub sent_bytes: u64,
    /// Bytes per second, averaged over the last minute.
    pub sent_bytes_per_second: f64,
    /// The price per gigabyte, if there is one.
    pub price_per_gb: Option<f64>,
    /// The cost since the agents started.
    pub price_so_far: Option<f64>,
    /// The cost per month at the current rate.
    pub per_month: Option<f64>,
}

impl TrafficTable {
    /// Adds up the agents' counters.
    #[must_use]
    pub fn of(snapshot: &Snapshot, prices: Option<&Prices>) -> Self {
        let mut sums: BTreeMap<(String, String), (u64, f64)> = BTreeMap::new();
        for traffic in snapshot.pages().flat_map(|(_, page)| &page.traffic) {
            let sum = sums.entry((traffic.from.to_string(), traffic.to.to_string())).or_default();
            sum.0 += traffic.sent_bytes;
            sum.1 += traffic.sent_bytes_per_second;
        }
        let pairs: Vec<_> =
            sums.into_iter().map(|((from, to), (bytes, rate))| priced(from, to, bytes, rate, prices)).collect();
        Self {
            per_month: prices.map(|_| pairs.iter().filter_map(|pair| pair.per_month).sum()),
            pairs,
            currency: prices.map(|prices| prices.currency.clone()).unwrap_or_default(),
            unreachable: snapshot.unreachable(),
        }
    }
}

fn priced(from: String, to: String, sent_bytes: u64, rate: f64, prices: Option<&Prices>) -> PairTraffic {
    let price_per_gb = prices.and_then(|prices| prices.of(&from, &to));
    PairTraffic {
        from,
        to,
        sent_bytes,
        sent_bytes_per_second: rate,
        price_per_gb,
        price_so_far: price_per_gb.map(|price| sent_bytes as f64 / GIGABYTE * price),
        per_month: price_per_gb.map(|price| rate * 3600.0 * HOURS_A_MONTH / GIGABYTE * price),
    }
}

impl View for TrafficTable {
    fn draw(&self, document: &mut Document) {
        let is_priced = self.per_month.is_some();
        let mut columns =
            vec![Column::text("FROM"), Column::text("TO"), Column::numbers("SENT"), Column::numbers("RATE")];
        if is_priced {
            columns.extend(["PRICE/GB", "SO FAR", "PER MONTH"].map(Column::numbers));
        }
        let mut table = Table::new(columns);
        for pair in &self.pairs {
            let mut cells = vec![
                Cell::plain(&pair.from),
                Cell::plain(&pair.to),
                units::bytes(pair.sent_bytes as f64).into(),
                format!("{}/s", units::bytes(pair.sent_bytes_per_second)).into(),
            ];
            if is_priced {
                cells.push(pair.price_per_gb.map_or_else(|| Cell::of("no price", Style::Warn), Cell::plain));
                cells.extend([pair.price_so_far, pair.per_month].map(|price| Cell::or_dash(price.map(money))));
            }
            table.row(cells);
        }
        document.table(&table);
        if self.pairs.is_empty() {
            document.line("no traffic between locations");
        }
        if let Some(total) = self.per_month {
            document.gap();
            let currency = if self.currency.is_empty() { String::new() } else { format!(" {}", self.currency) };
            document.styled(
                format_args!("{}{currency} per month (730 h) at the current rate", money(total)),
                Style::Strong,
            );
        }
        for (node, reason) in &self.unreachable {
            document.styled(format_args!("without {node}: {reason}"), Style::Bad);
        }
    }

    fn exit(&self) -> Exit {
        if self.unreachable.is_empty() { Exit::Healthy } else { Exit::Unhealthy }
    }
}

fn money(amount: f64) -> String {
    format!("{amount:.2}")
}
