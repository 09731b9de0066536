//! What the mesh asks of a Kubernetes API, asked with kube-rs: the same tests against the lab's
//! small server and against a real kube-apiserver. So the small one can stand for the real one.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod apply;
mod broken_connections;
mod cluster;
mod faults;
mod reads;
mod watches;
mod writes;

/// Makes a test of each function, for each server.
macro_rules! on_both_servers {
    ($($module:ident::$test:ident),* $(,)?) => {
        mod embedded {
            $(#[test] fn $test() { crate::cluster::with_embedded(crate::$module::$test); })*
        }
        mod real {
            $(#[test] fn $test() { crate::cluster::with_real(crate::$module::$test); })*
        }
    };
}

on_both_servers! {
    reads::the_server_describes_itself,
    reads::a_cluster_is_known_by_its_uid,
    reads::a_list_comes_in_pages,
    reads::metadata_comes_without_the_rest,
    reads::a_missing_object_is_not_found,
    writes::a_status_patch_changes_only_the_status,
    writes::a_peer_counts_generations_of_its_spec,
    writes::a_stale_version_conflicts,
    writes::a_patch_for_another_uid_is_refused,
    writes::a_second_creation_conflicts,
    writes::a_patch_without_effect_writes_nothing,
    writes::a_deletion_can_name_the_uid,
    writes::an_object_needs_its_namespace,
    writes::events_are_published_and_counted_up,
    writes::a_secret_is_read,
    apply::own_annotations_come_and_go_beside_those_of_people,
    apply::applying_the_same_again_writes_nothing,
    apply::a_key_of_somebody_else_conflicts_unless_forced,
    apply::a_value_that_two_managers_apply_stays_until_both_leave_it_out,
    apply::applying_onto_a_deleted_node_does_not_bring_it_back,
    watches::metadata_is_listed_then_watched,
    watches::metadata_is_streamed,
    watches::one_node_is_watched_by_name,
    watches::an_object_that_loses_its_label_is_deleted_for_its_watcher,
    watches::a_watch_ends_at_its_timeout,
    watches::a_forgotten_version_is_gone,
    broken_connections::a_cut_watch_resumes_without_a_new_list,
    broken_connections::a_hung_watch_catches_up,
    broken_connections::a_delay_delays,
}

/// Makes a test of each function, for the embedded server alone: faults on demand.
macro_rules! on_embedded_server {
    ($($test:ident),* $(,)?) => {
        mod misbehaving {
            $(#[test] fn $test() { crate::cluster::with_embedded(crate::faults::$test); })*
        }
    };
}

on_embedded_server! {
    a_watcher_lists_again_after_its_version_expired,
    a_page_token_expires,
    the_client_waits_as_long_as_429_says,
    a_watcher_survives_429_with_back_off,
    a_fault_meets_only_those_it_is_aimed_at,
    a_watch_can_be_told_gone_inside_its_stream,
    a_slow_server_is_slow,
    bookmarks_move_a_watch_forward,
    requests_are_counted_by_user_and_verb,
}
