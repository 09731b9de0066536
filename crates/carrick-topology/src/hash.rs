//! The hash by which all nodes choose alike. It must never change between versions.

/// Hashes the parts in order; `["ab", "c"]` and `["a", "bc"]` differ.
///
/// FNV-1a over the bytes with a separator after each part, then the finaliser of SplitMix64. Without the finaliser, similar names have
/// similar high bits.
#[must_use]
pub fn stable_hash(parts: &[&str]) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let mut state = OFFSET;
    for part in parts {
        for byte in part.as_bytes().iter().chain(&[0xff]) {
            state = (state ^ u64::from(*byte)).wrapping_mul(PRIME);
        }
    }
    finalise(state)
}

fn finalise(mut state: u64) -> u64 {
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

/// Rendezvous hashing (highest random weight): the candidate with the greatest weight for `key`.
///
/// When a candidate is removed, only the keys that it had move. Of two equal weights, the smaller name wins.
pub fn rendezvous<'a, T>(
    key: &str,
    candidates: impl IntoIterator<Item = T>,
    name: impl Fn(&T) -> &'a str,
) -> Option<T> {
    candidates
        .into_iter()
        .map(|candidate| (stable_hash(&[key, name(&candidate)]), candidate))
        .reduce(|best, next| {
            let better = next.0 > best.0 || (next.0 == best.0 && name(&next.1) < name(&best.1));
            if better { next } else { best }
        })
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_hash_never_changes() {
        assert_eq!(stable_hash(&[]), 0xf52a_15e9_a9b5_e89b);
        assert_eq!(stable_hash(&["node-a"]), 0x6450_dc43_52f6_a123);
        assert_ne!(stable_hash(&["ab", "c"]), stable_hash(&["a", "bc"]));
    }

    #[test]
    fn losing_a_candidate_moves_only_its_keys() {
        let before = ["g1", "g2", "g3"];
        let after = ["g1", "g3"];
        let mut shares = BTreeMap::new();
        for number in 0..3000 {
            let key = format!("node-{number}");
            let held = rendezvous(&key, before, |name| name).unwrap();
            let holds = rendezvous(&key, after, |name| name).unwrap();
            *shares.entry(held).or_insert(0) += 1;
            assert!(held == "g2" || held == holds, "{key} moved from {held} to {holds}");
        }
        assert!(shares.values().all(|share| (800..1200).contains(share)), "{shares:?}");
    }
}
