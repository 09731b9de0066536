//! Rules as the kernel reads and tells them.

use super::Rule;
use crate::nftables::abi::expression::extension;
use crate::nftables::abi::{data, rule};
use crate::nftables::attribute::{Attributes, Received};
use crate::nftables::expression::{Expression, MetaKey};
use crate::nftables::set::INTERFACE_NAME_LENGTH;

impl Rule {
    pub(in crate::nftables) fn encode(&self, attributes: Attributes) -> Attributes {
        let expressions = self
            .expressions
            .iter()
            .fold(Attributes::new(), |list, expression| list.with_nested(data::LIST_ELEMENT, &expression.encode()));
        let attributes = attributes.with_nested(rule::EXPRESSIONS, &expressions);
        match &self.comment {
            Some(comment) => attributes.with_bytes(rule::USERDATA, &comment_userdata(comment)),
            None => attributes,
        }
    }

    /// Reads a rule. What iptables-nft writes in another way comes out in the same form: comments, which it keeps in a
    /// condition that always holds, and interface names, which it compares without their padding.
    pub(in crate::nftables) fn decode(attributes: Received<'_>) -> Self {
        let mut rule = Rule { expressions: Vec::new(), comment: attributes.bytes(rule::USERDATA).and_then(comment_of) };
        let list = attributes.nested(rule::EXPRESSIONS);
        for expression in list.into_iter().flat_map(|list| list.all(data::LIST_ELEMENT)) {
            let expression = Received::new(expression);
            match iptables_comment(expression) {
                Some(comment) => rule.comment = Some(comment),
                None => rule.expressions.push(Expression::decode(expression)),
            }
        }
        pad_interface_names(&mut rule.expressions);
        rule
    }
}

/// Type, length and text with its closing zero byte, as libnftnl writes it.
fn comment_userdata(comment: &str) -> Vec<u8> {
    const LONGEST: usize = u8::MAX as usize - 1;
    let end = comment.floor_char_boundary(LONGEST);
    let text = &comment.as_bytes()[..end];
    let length = u8::try_from(text.len() + 1).unwrap_or(u8::MAX);
    [&[rule::USERDATA_COMMENT, length], text, &[0]].concat()
}

fn comment_of(mut userdata: &[u8]) -> Option<String> {
    while let [kind, length, rest @ ..] = userdata {
        let (value, behind) = rest.split_at_checked(usize::from(*length))?;
        if *kind == rule::USERDATA_COMMENT {
            let text = value.strip_suffix(&[0]).unwrap_or(value);
            return Some(String::from_utf8_lossy(text).into_owned());
        }
        userdata = behind;
    }
    None
}

/// The text of iptables' `-m comment` (`struct xt_comment_info`).
fn iptables_comment(expression: Received<'_>) -> Option<String> {
    let attributes = expression.nested(data::EXPRESSION_DATA)?;
    let is_comment =
        expression.text(data::EXPRESSION_NAME)? == "match" && attributes.text(extension::NAME)? == "comment";
    is_comment.then(|| attributes.text(extension::INFORMATION)).flatten()
}

fn pad_interface_names(expressions: &mut [Expression]) {
    let mut holds_name = false;
    for expression in expressions {
        match expression {
            Expression::Meta { key, .. } => {
                holds_name = matches!(key, MetaKey::InputInterfaceName | MetaKey::OutputInterfaceName);
            }
            Expression::Compare { value, .. } if holds_name && value.ends_with(&[0]) => {
                value.resize(INTERFACE_NAME_LENGTH, 0);
            }
            _ => holds_name = false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use carrick_types::Family;

    use crate::nftables::{AddressMatch, InterfaceMatch, Origin, Verdict};

    #[test]
    fn comments_are_written_as_nft_does() {
        assert_eq!(comment_userdata("m"), [0, 2, b'm', 0]);
        assert_eq!(comment_of(&[0, 2, b'm', 0]).as_deref(), Some("m"));
        assert_eq!(comment_of(&[1, 1, 9, 0, 2, b'm', 0]).as_deref(), Some("m"));
        assert_eq!(comment_of(&[0, 9, b'm']), None);
        assert_eq!(comment_userdata(&"ä".repeat(200)).len(), 2 + 254 + 1);
    }

    #[test]
    fn rules_survive_encoding_and_decoding() {
        let rule = Rule::new()
            .version(Family::V6)
            .origin(Origin::Local)
            .output_interface(InterfaceMatch::StartsNotWith("crk"))
            .source(Family::V6, AddressMatch::NotIn("own"))
            .mark(0x1000, 0x1000)
            .counter()
            .verdict(Verdict::Jump("other".to_owned()))
            .comment("why");
        let encoded = rule.encode(Attributes::new());
        assert_eq!(Rule::decode(Received::new(encoded.as_bytes())), rule);
    }
}
