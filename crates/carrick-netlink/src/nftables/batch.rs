//! Changes that the kernel carries out together or not at all.

use super::Rule;
use super::abi::{chain, data};
use super::abi::{message, rule, set, table};
use super::attribute::Attributes;
use super::compare::{Difference, ElementChange};
use super::expression::value_attributes;
use super::generation::Generation;
use super::interval::Bound;
use super::set::{Elements, Field, Key, Set, Target, Value};
use super::table::{Chain, Table, TableFamily};
use crate::Request;

const CREATE: u16 = 0x400;
const APPEND: u16 = 0x800;
/// Elements of one message; the length of a nested attribute ends at 65,535 bytes.
const ELEMENTS_LENGTH: usize = 32 * 1024;
/// `NFTNL_UDATA_SET_KEYBYTEORDER`, `NFTNL_UDATA_SET_DATABYTEORDER`: without them `nft` cannot print names.
const USERDATA_KEY_ORDER: u8 = 0;
const USERDATA_DATA_ORDER: u8 = 1;

/// Which table an object is in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TableName {
    /// The packets that the table sees.
    pub family: TableFamily,
    /// The table's name.
    pub name: String,
}

/// Changes of tables, in order, which take effect together when they are committed.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    requests: Vec<Request>,
    last_set_id: u32,
}

impl Batch {
    /// No change.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Puts this table in the place of what is there under its name.
    #[must_use]
    pub fn replace_table(self, table: &Table) -> Self {
        let name = table.table_name();
        let mut batch = self.remove_table(&name).add_table(&name);
        for (chain_name, chain) in &table.chains {
            batch = batch.add_chain(&name, chain_name, chain);
        }
        for (set_name, set) in &table.sets {
            batch = batch.add_set(&name, set_name, set);
        }
        for (set_name, set) in &table.sets {
            batch = batch.add_elements(&name, set_name, &set.key, &set.target, &set.elements);
        }
        for (chain_name, chain) in &table.chains {
            for rule in &chain.rules {
                batch = batch.append_rule(&name, chain_name, rule);
            }
        }
        batch
    }

    /// Does what turns the table that is there into the wanted one, from which the difference was computed.
    #[must_use]
    pub fn resolve(self, wanted: &Table, difference: &Difference) -> Self {
        let name = wanted.table_name();
        match difference {
            Difference::None => self,
            Difference::Structure => self.replace_table(wanted),
            Difference::Elements(changes) => {
                let known = changes
                    .iter()
                    .filter_map(|(set_name, change)| Some((wanted.sets.get_key_value(set_name)?, change)));
                known.fold(self, |batch, ((set_name, set), change)| batch.change_elements(&name, set_name, set, change))
            }
        }
    }

    /// Removes some elements of a set and adds others.
    #[must_use]
    pub fn change_elements(self, table: &TableName, set_name: &str, form: &Set, change: &ElementChange) -> Self {
        let removing =
            element_messages(table, set_name, &form.key, &form.target, &change.removed).into_iter().map(|payload| {
                Request::write(
                    "delete elements of nftables set",
                    table.member(set_name),
                    message::DELETE_ELEMENT,
                    0,
                    payload,
                )
            });
        let mut batch = self;
        batch.requests.extend(removing);
        batch.add_elements(table, set_name, &form.key, &form.target, &change.added)
    }

    /// Removes a table, if there is one of this name, with everything in it.
    #[must_use]
    pub fn remove_table(self, name: &TableName) -> Self {
        // Adding what may be there already is no error, deleting what is not there is.
        let mut batch = self.add_table(name);
        let attributes = Attributes::new().with_text(table::NAME, &name.name);
        batch.requests.push(Request::write(
            "delete nftables table",
            name.to_string(),
            message::DELETE_TABLE,
            0,
            payload(name.family, &attributes),
        ));
        batch
    }

    /// Puts a rule before all others of a chain.
    #[must_use]
    pub fn insert_rule(self, table: &TableName, chain: &str, rule: &Rule) -> Self {
        self.add_rule("insert nftables rule", CREATE, table, chain, rule)
    }

    /// Puts a rule behind all others of a chain.
    #[must_use]
    pub fn append_rule(self, table: &TableName, chain: &str, rule: &Rule) -> Self {
        self.add_rule("append nftables rule", CREATE | APPEND, table, chain, rule)
    }

    /// Removes the rule with this handle.
    #[must_use]
    pub fn delete_rule(mut self, table: &TableName, chain: &str, handle: u64) -> Self {
        let attributes = Attributes::new()
            .with_text(rule::TABLE, &table.name)
            .with_text(rule::CHAIN, chain)
            .with_u64(rule::HANDLE, handle);
        self.requests.push(Request::write(
            "delete nftables rule",
            table.member(chain),
            message::DELETE_RULE,
            0,
            payload(table.family, &attributes),
        ));
        self
    }

    /// The messages between the marks that make one transaction of them. With a generation, the kernel refuses
    /// (`ERESTART`) if anything in nftables has changed since.
    pub(crate) fn into_requests(self, generation: Option<Generation>) -> Vec<Request> {
        let attributes = generation.map_or_else(Attributes::new, |Generation(number)| {
            Attributes::new().with_u32(message::BATCH_GENERATION, number)
        });
        let begin = Request::marker("begin nftables batch", message::BATCH_BEGIN, batch_mark(&attributes));
        let end = Request::marker("end nftables batch", message::BATCH_END, batch_mark(&Attributes::new()));
        std::iter::once(begin).chain(self.requests).chain([end]).collect()
    }

    fn add_table(mut self, name: &TableName) -> Self {
        let attributes = Attributes::new().with_text(table::NAME, &name.name);
        self.requests.push(Request::write(
            "add nftables table",
            name.to_string(),
            message::NEW_TABLE,
            CREATE,
            payload(name.family, &attributes),
        ));
        self
    }

    fn add_chain(mut self, table: &TableName, name: &str, chain: &Chain) -> Self {
        let mut attributes = Attributes::new().with_text(chain::TABLE, &table.name).with_text(chain::NAME, name);
        if let Some(base) = chain.base {
            let hook = Attributes::new()
                .with_u32(chain::HOOK_NUMBER, base.hook as u32)
                .with_u32(chain::HOOK_PRIORITY, base.priority.cast_unsigned());
            attributes = attributes
                .with_text(chain::TYPE, base.kind.name())
                .with_nested(chain::HOOK, &hook)
                .with_u32(chain::POLICY, base.policy as u32);
        }
        self.requests.push(Request::write(
            "add nftables chain",
            table.member(name),
            message::NEW_CHAIN,
            CREATE,
            payload(table.family, &attributes),
        ));
        self
    }

    fn add_set(mut self, table: &TableName, name: &str, set: &Set) -> Self {
        self.last_set_id += 1;
        let attributes = set_attributes(table, name, set).with_u32(set::ID, self.last_set_id);
        self.requests.push(Request::write(
            "add nftables set",
            table.member(name),
            message::NEW_SET,
            CREATE,
            payload(table.family, &attributes),
        ));
        self
    }

    fn add_elements(
        mut self,
        table: &TableName,
        set_name: &str,
        key: &[Field],
        target: &Target,
        elements: &Elements,
    ) -> Self {
        let adding = element_messages(table, set_name, key, target, elements).into_iter().map(|payload| {
            Request::write(
                "add elements to nftables set",
                table.member(set_name),
                message::NEW_ELEMENT,
                CREATE,
                payload,
            )
        });
        self.requests.extend(adding);
        self
    }

    fn add_rule(mut self, operation: &'static str, flags: u16, table: &TableName, chain: &str, rule: &Rule) -> Self {
        let attributes = Attributes::new().with_text(rule::TABLE, &table.name).with_text(rule::CHAIN, chain);
        let object = match &rule.comment {
            Some(comment) => format!("{comment:?} in {}", table.member(chain)),
            None => table.member(chain),
        };
        self.requests.push(Request::write(
            operation,
            object,
            message::NEW_RULE,
            flags,
            payload(table.family, &rule.encode(attributes)),
        ));
        self
    }
}

impl TableName {
    /// A table's full name.
    #[must_use]
    pub fn new(family: TableFamily, name: impl Into<String>) -> Self {
        Self { family, name: name.into() }
    }

    pub(super) fn member(&self, name: &str) -> String {
        format!("{self} {name}")
    }
}

impl std::fmt::Display for TableName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.family.name(), self.name)
    }
}

impl Table {
    /// The table's full name.
    #[must_use]
    pub fn table_name(&self) -> TableName {
        TableName::new(self.family, &self.name)
    }
}

/// An nf_tables message body: `struct nfgenmsg`, then attributes.
pub(super) fn payload(family: TableFamily, attributes: &Attributes) -> Vec<u8> {
    generic_payload(family as u8, 0, attributes)
}

/// `struct nfgenmsg` (family, version 0, resource), then attributes.
pub(super) fn generic_payload(family: u8, resource: u16, attributes: &Attributes) -> Vec<u8> {
    let [high, low] = resource.to_be_bytes();
    [&[family, 0, high, low], attributes.as_bytes()].concat()
}

fn batch_mark(attributes: &Attributes) -> Vec<u8> {
    generic_payload(super::abi::FAMILY_ANY, message::BATCH_RESOURCE, attributes)
}

fn set_attributes(table: &TableName, name: &str, set: &Set) -> Attributes {
    let number = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    let interval = match set.elements {
        Elements::Keys(_) => 0,
        Elements::Intervals(_) => set::FLAG_INTERVAL,
    };
    let map = match set.target {
        Target::Nothing => 0,
        Target::Fields(_) | Target::Verdict => set::FLAG_MAP,
    };
    let mut userdata = byte_order(USERDATA_KEY_ORDER, &set.key);
    let attributes = Attributes::new()
        .with_text(set::TABLE, &table.name)
        .with_text(set::NAME, name)
        .with_u32(set::FLAGS, interval | map)
        .with_u32(set::KEY_TYPE, Field::concatenated_type(&set.key))
        .with_u32(set::KEY_LENGTH, number(Field::concatenated_length(&set.key)));
    let attributes = match &set.target {
        Target::Nothing => attributes,
        Target::Verdict => attributes.with_u32(set::DATA_TYPE, set::VERDICT_TYPE),
        Target::Fields(fields) => {
            userdata.extend(byte_order(USERDATA_DATA_ORDER, fields));
            attributes
                .with_u32(set::DATA_TYPE, Field::concatenated_type(fields))
                .with_u32(set::DATA_LENGTH, number(Field::concatenated_length(fields)))
        }
    };
    attributes.with_bytes(set::USERDATA, &userdata)
}

/// `enum byteorder` of `nft`: none for concatenations, the host's for names, the network's for the rest.
fn byte_order(kind: u8, fields: &[Field]) -> Vec<u8> {
    let order: u32 = match fields {
        [Field::InterfaceName] => 1,
        [_] => 2,
        _ => 0,
    };
    [&[kind, 4][..], &order.to_ne_bytes()].concat()
}

/// The bodies of as many messages as the elements need.
fn element_messages(
    table: &TableName,
    set_name: &str,
    key: &[Field],
    target: &Target,
    elements: &Elements,
) -> Vec<Vec<u8>> {
    let mut lists = vec![Attributes::new()];
    for element in encoded_elements(key, target, elements) {
        if lists.last().is_none_or(|list| list.len() + element.len() > ELEMENTS_LENGTH) {
            lists.push(Attributes::new());
        }
        if let Some(list) = lists.pop() {
            lists.push(list.with_nested(data::LIST_ELEMENT, &element));
        }
    }
    lists
        .into_iter()
        .filter(|list| !list.is_empty())
        .map(|list| {
            let attributes = Attributes::new()
                .with_text(set::LIST_TABLE, &table.name)
                .with_text(set::LIST_SET, set_name)
                .with_nested(set::LIST_ELEMENTS, &list);
            payload(table.family, &attributes)
        })
        .collect()
}

fn encoded_elements(key: &[Field], target: &Target, elements: &Elements) -> Vec<Attributes> {
    match elements {
        Elements::Keys(keys) => keys.iter().map(|(element, value)| encoded_key(key, target, element, value)).collect(),
        Elements::Intervals(intervals) => {
            let length = Field::concatenated_length(key);
            intervals.iter().flat_map(|(first, last)| range_bounds(length, first, last)).collect()
        }
    }
}

fn encoded_key(key: &[Field], target: &Target, element: &Key, value: &Value) -> Attributes {
    let encoded = Attributes::new().with_nested(set::ELEMENT_KEY, &value_attributes(element.bytes_for(key)));
    match (value, target) {
        (Value::Verdict(verdict), _) => encoded.with_nested(set::ELEMENT_DATA, &verdict.encode()),
        (Value::Fields(mapped), Target::Fields(fields)) => {
            encoded.with_nested(set::ELEMENT_DATA, &value_attributes(mapped.bytes_for(fields)))
        }
        (Value::Fields(_), Target::Nothing | Target::Verdict) | (Value::Nothing, _) => encoded,
    }
}

/// A range's first element and, unless it reaches to the end of the space, the one behind its last.
fn range_bounds(length: usize, first: u128, last: u128) -> impl Iterator<Item = Attributes> {
    let bound = move |number: u128, bound: Bound| {
        let bytes = number.to_be_bytes();
        let key = value_attributes(&bytes[bytes.len() - length..]);
        let element = Attributes::new().with_nested(set::ELEMENT_KEY, &key);
        match bound {
            Bound::Begin => element,
            Bound::End => element.with_u32(set::ELEMENT_FLAGS, set::ELEMENT_INTERVAL_END),
        }
    };
    let behind = (last != greatest(length)).then(|| bound(last + 1, Bound::End));
    std::iter::once(bound(first, Bound::Begin)).chain(behind)
}

/// The greatest number of so many bytes.
pub(super) fn greatest(length: usize) -> u128 {
    u128::MAX >> (128 - 8 * length.clamp(1, 16))
}
