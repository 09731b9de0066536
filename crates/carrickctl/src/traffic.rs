//! `carrickctl traffic`: what goes from location to location, and what it costs.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Cell, Column, Document, Style, Table, View, units};
use crate::snapshot::Snapshot;

/// The hours of a month, as clouds bill it.
const HOURS_A_MONTH: f64 = 730.0;
/// Clouds bill gigabytes of this many bytes.
const GIGABYTE: f64 = 1e9;

/// The price of a gigabyte by ordered pair of locations.
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
    /// What the prices are in.
    #[serde(default)]
    pub currency: String,
    /// The price of a gigabyte between two locations that are not named.
    #[serde(default)]
    pub default: Option<f64>,
    /// The pairs.
    #[serde(default)]
    pub prices: Vec<Price>,
}

/// The price of a gigabyte from one location to another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Where the bytes leave; `*` stands for everywhere.
    pub from: String,
    /// Where they go; `*` stands for everywhere.
    pub to: String,
    /// The price of a gigabyte (10⁹ bytes).
    pub per_gb: f64,
}

impl Prices {
    /// Reads a file of YAML or JSON.
    ///
    /// # Errors
    /// It cannot be read, holds something else, or a price is negative.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path).map_err(|error| Failure::File { path: path.to_owned(), error })?;
        let wrong = |reason: String| Failure::Content { path: path.to_owned(), reason };
        let prices: Self = serde_yaml_ng::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        let all = prices.prices.iter().map(|price| price.per_gb).chain(prices.default);
        match all.into_iter().find(|price| !price.is_finite() || *price < 0.0) {
            Some(price) => Err(wrong(format!("{price} is not the price of a gigabyte"))),
            None => Ok(prices),
        }
    }

    /// The price from one location to another: the first pair that names both, else one that names one, else the default. What stays
    /// inside a location costs nothing unless the pair is named.
    fn of(&self, from: &str, to: &str) -> Option<f64> {
        let fits = |word: &str, name: &str| word == "*" || word == name;
        let exact = |price: &&Price| price.from == from && price.to == to;
        let loose = |price: &&Price| from != to && fits(&price.from, from) && fits(&price.to, to);
        let named = self.prices.iter().find(exact).or_else(|| self.prices.iter().find(loose));
        named.map(|price| price.per_gb).or_else(|| if from == to { Some(0.0) } else { self.default })
    }
}

/// What goes from location to location.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrafficTable {
    /// The ordered pairs of locations.
    pub pairs: Vec<PairTraffic>,
    /// What all of it costs a month at the present rate, where prices are given.
    pub per_month: Option<f64>,
    /// What the prices are in.
    pub currency: String,
    /// The nodes that gave no answer: their traffic is missing.
    pub unreachable: BTreeMap<String, String>,
}

/// What goes from one location to another.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PairTraffic {
    /// Where it leaves.
    pub from: String,
    /// Where it goes.
    pub to: String,
    /// Bytes since the agents started.
    pub sent_bytes: u64,
    /// Bytes a second over the last minute.
    pub sent_bytes_per_second: f64,
    /// The price of a gigabyte, where one is given.
    pub price_per_gb: Option<f64>,
    /// The price of what was sent since the agents started.
    pub price_so_far: Option<f64>,
    /// The price of a month at the present rate.
    pub per_month: Option<f64>,
}

impl TrafficTable {
    /// Adds up what the agents say.
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
            vec![Column::words("FROM"), Column::words("TO"), Column::numbers("SENT"), Column::numbers("RATE")];
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
            document.line("nothing went from one location to another");
        }
        if let Some(total) = self.per_month {
            document.gap();
            let currency = if self.currency.is_empty() { String::new() } else { format!(" {}", self.currency) };
            document
                .styled(format_args!("{}{currency} a month of 730 h at the present rate", money(total)), Style::Strong);
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
