//! What must hold of every object that the API server sends, for the fuzz targets and for the tests, which replay their corpora.
#![expect(clippy::unwrap_used, reason = "a check fails by panicking")]

pub mod annotations;
mod cluster;
pub mod mesh;
pub mod peer;

#[cfg(test)]
#[path = "../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::replay::replay;

    #[test]
    fn the_corpus_of_annotations_holds() {
        replay("annotations", super::annotations::check);
    }

    #[test]
    fn the_corpus_of_mesh_holds() {
        replay("mesh", super::mesh::check);
    }

    #[test]
    fn the_corpus_of_peer_holds() {
        replay("peer", super::peer::check);
    }
}
