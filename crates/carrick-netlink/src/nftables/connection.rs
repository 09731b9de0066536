//! Asking the kernel for tables, and changing them.

use super::abi::{FAMILY_ANY, message, rule, set, table};
use super::attribute::{Attributes, required};
use super::batch::{Batch, TableName, generic_payload, payload};
use super::counter::RuleCounter;
use super::generation::Generation;
use super::listed_rule::ListedRule;
use super::read::{
    LIST_CHAINS, LIST_ELEMENTS, LIST_RULES, LIST_SETS, attributes, elements_of, read_chain, read_counter,
    read_elements, read_rule, read_set,
};
use super::set::{Elements, Set};
use super::table::{BaseChain, Chain, Hook, Table, TableFamily};
use crate::{Cause, Error, Protocol, Request, Socket};

const SNAPSHOT_ATTEMPTS: usize = 16;

/// A chain where packets enter a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedChain {
    /// The table.
    pub table: TableName,
    /// The chain's name.
    pub name: String,
    /// Where packets enter.
    pub base: BaseChain,
}

/// A connection to nftables in the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Nftables {
    socket: Socket,
}

impl Nftables {
    /// Opens a connection in the calling thread's network namespace.
    ///
    /// # Errors
    ///
    /// The kernel lacks nfnetlink, or the process has no file descriptor left.
    pub fn open() -> Result<Self, Error> {
        Socket::open(Protocol::Netfilter).map(|socket| Self { socket })
    }

    /// The number by which notifications name this connection as the cause of a change.
    ///
    /// # Errors
    ///
    /// The socket has no address, which does not happen.
    pub fn port(&self) -> Result<u32, Error> {
        self.socket.port()
    }

    /// The number of messages that could change the kernel which went over this connection so far.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.socket.writes()
    }

    /// The generation in effect: one short question.
    ///
    /// # Errors
    ///
    /// The kernel lacks nf_tables, or the process lacks `CAP_NET_ADMIN`.
    pub fn generation(&mut self) -> Result<Generation, Error> {
        let request = Request::get(
            "get nftables generation",
            "",
            message::GET_GENERATION,
            generic_payload(FAMILY_ANY, 0, &Attributes::new()),
        );
        let answers = self.socket.query(&request, |frame| Ok(attributes(frame.payload).u32(table::GENERATION_ID)))?;
        required(answers.into_iter().next(), "get nftables generation").map(Generation)
    }

    /// Whether there is a table of this name, in whatever state.
    ///
    /// # Errors
    ///
    /// The kernel refused.
    pub fn has_table(&mut self, name: &TableName) -> Result<bool, Error> {
        self.table_flags(name).map(|flags| flags.is_some())
    }

    /// Reads a table with everything in it. A change in the middle can mix two states; inside
    /// [`Nftables::snapshot`] it cannot.
    ///
    /// # Errors
    ///
    /// The kernel refused, or parts of the table vanished meanwhile.
    pub fn table(&mut self, name: &TableName) -> Result<Option<Table>, Error> {
        let Some(flags) = self.table_flags(name)? else {
            return Ok(None);
        };
        let mut found = Table::new(name.family, &name.name);
        found.flags = flags;
        for (table, chain_name, base) in self.chains(name.family)? {
            if table == name.name {
                let rules = Vec::new();
                found.chains.insert(chain_name, Chain { base, rules });
            }
        }
        let filter = Attributes::new().with_text(rule::TABLE, &name.name);
        for (chain_name, listed) in self.list_rules(name, &filter)? {
            let chain = found.chains.entry(chain_name).or_default();
            chain.rules.push(listed.rule);
        }
        for (set_name, mut set) in self.sets(name)? {
            set.elements = self.elements(name, &set_name, &set)?;
            found.sets.insert(set_name, set);
        }
        Ok(Some(found))
    }

    /// Runs questions until no change came between them; returns their generation too.
    ///
    /// # Errors
    ///
    /// A question failed though nothing changed, or tables kept changing.
    pub fn snapshot<T>(
        &mut self,
        mut questions: impl FnMut(&mut Self) -> Result<T, Error>,
    ) -> Result<(Generation, T), Error> {
        let mut before = self.generation()?;
        for _ in 0..SNAPSHOT_ATTEMPTS {
            let answers = questions(self);
            let after = self.generation()?;
            if before == after {
                return answers.map(|answers| (before, answers));
            }
            before = after;
        }
        Err(Error::new("read nftables", "", Cause::Interrupted))
    }

    /// The base chains of all tables at one hook, in IPv4 and IPv6 or both.
    ///
    /// # Errors
    ///
    /// The kernel refused.
    pub fn base_chains(&mut self, hook: Hook) -> Result<Vec<ListedChain>, Error> {
        let mut chains = Vec::new();
        for family in [TableFamily::Inet, TableFamily::Ipv4, TableFamily::Ipv6] {
            let listed = self.chains(family)?;
            chains.extend(listed.into_iter().filter_map(|(table, name, base)| {
                let base = base.filter(|base| base.hook == hook)?;
                Some(ListedChain { table: TableName::new(family, table), name, base })
            }));
        }
        Ok(chains)
    }

    /// The rules of one chain, in order; none where there is no such chain.
    ///
    /// # Errors
    ///
    /// The kernel refused.
    pub fn rules(&mut self, table: &TableName, chain: &str) -> Result<Vec<ListedRule>, Error> {
        let filter = Attributes::new().with_text(rule::TABLE, &table.name).with_text(rule::CHAIN, chain);
        let rules = self.list_rules(table, &filter)?;
        Ok(rules.into_iter().map(|(_, listed)| listed).collect())
    }

    /// One set or map with its elements; `None` where there is no such set, or one of a form that this code does not know.
    ///
    /// # Errors
    ///
    /// The kernel refused.
    pub fn set(&mut self, table: &TableName, name: &str) -> Result<Option<Set>, Error> {
        let filter = Attributes::new().with_text(set::TABLE, &table.name).with_text(set::NAME, name);
        let request = Request::get(LIST_SETS, table.member(name), message::GET_SET, payload(table.family, &filter));
        let form = match self.socket.query(&request, |frame| Ok(read_set(frame.payload).ok())) {
            Ok(answers) => answers.into_iter().next().map(|(_, form)| form),
            Err(error) if error.is_not_found() => None,
            Err(error) => return Err(error),
        };
        let Some(mut found) = form else { return Ok(None) };
        found.elements = self.elements(table, name, &found)?;
        Ok(Some(found))
    }

    /// The rules of a table that have a counter, and what the counters say; none where there is no such table.
    ///
    /// # Errors
    ///
    /// The kernel refused.
    pub fn counters(&mut self, table: &TableName) -> Result<Vec<RuleCounter>, Error> {
        let filter = Attributes::new().with_text(rule::TABLE, &table.name);
        let request = Request::dump(LIST_RULES, table.to_string(), message::GET_RULE, payload(table.family, &filter));
        self.socket.query(&request, |frame| read_counter(frame.payload))
    }

    /// Carries a batch out as a whole or not at all. With a generation, only if nothing in nftables has changed
    /// since; [`is_outdated`] tells that refusal from others. An empty batch sends nothing.
    ///
    /// # Errors
    ///
    /// The first refusal; nothing was changed then.
    pub fn commit(&mut self, batch: Batch, generation: Option<Generation>) -> Result<(), Error> {
        if batch.is_empty() {
            return Ok(());
        }
        self.socket.transaction(&batch.into_requests(generation))
    }

    fn table_flags(&mut self, name: &TableName) -> Result<Option<u32>, Error> {
        let request = Request::get(
            "get nftables table",
            name.to_string(),
            message::GET_TABLE,
            payload(name.family, &Attributes::new().with_text(table::NAME, &name.name)),
        );
        let answers =
            self.socket.query(&request, |frame| Ok(Some(attributes(frame.payload).u32(table::FLAGS).unwrap_or(0))));
        match answers {
            Ok(answers) => Ok(answers.into_iter().next()),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All chains of a family: table, name, and where packets enter.
    fn chains(&mut self, family: TableFamily) -> Result<Vec<(String, String, Option<BaseChain>)>, Error> {
        let request =
            Request::dump(LIST_CHAINS, family.name(), message::GET_CHAIN, payload(family, &Attributes::new()));
        self.socket.query(&request, |frame| read_chain(frame.payload).map(Some))
    }

    fn list_rules(&mut self, table: &TableName, filter: &Attributes) -> Result<Vec<(String, ListedRule)>, Error> {
        let request = Request::dump(LIST_RULES, table.to_string(), message::GET_RULE, payload(table.family, filter));
        self.socket.query(&request, |frame| read_rule(frame.payload).map(Some))
    }

    /// The sets of a table, without their elements.
    fn sets(&mut self, table: &TableName) -> Result<Vec<(String, Set)>, Error> {
        let request = Request::dump(
            LIST_SETS,
            table.to_string(),
            message::GET_SET,
            payload(table.family, &Attributes::new().with_text(set::TABLE, &table.name)),
        );
        self.socket.query(&request, |frame| read_set(frame.payload).map(Some))
    }

    fn elements(&mut self, table: &TableName, name: &str, form: &Set) -> Result<Elements, Error> {
        let request = Request::dump(
            LIST_ELEMENTS,
            table.member(name),
            message::GET_ELEMENT,
            payload(
                table.family,
                &Attributes::new().with_text(set::LIST_TABLE, &table.name).with_text(set::LIST_SET, name),
            ),
        );
        let messages = self.socket.query(&request, |frame| read_elements(frame.payload).map(Some))?;
        Ok(elements_of(form, messages.into_iter().flatten()))
    }
}

/// Whether a commit was refused because nftables changed after the generation that the commit names.
#[must_use]
pub fn is_outdated(error: &Error) -> bool {
    error.errno() == Some(nix::errno::Errno::ERESTART)
}
