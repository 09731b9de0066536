//! The API requests that Carrick depends on, made with kube-rs. The same tests run against the small server and against a real
//! kube-apiserver, so that the small server can replace the real one in other tests.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod apply;
mod broken_connections;
mod injected_faults;
mod reads;
mod server;
mod watches;
mod writes;

/// Makes a test of each function for each server.
macro_rules! on_both_servers {
    ($($module:ident::$test:ident),* $(,)?) => {
        mod embedded {
            $(#[test] fn $test() { crate::server::with_embedded(crate::$module::$test); })*
        }
        mod real {
            $(#[test] fn $test() { crate::server::with_real(crate::$module::$test); })*
        }
    };
}

on_both_servers! {
    reads::a_cluster_is_identified_by_a_uid,
    reads::a_list_comes_in_pages,
    reads::a_metadata_request_returns_only_the_metadata,
    reads::a_missing_object_is_not_found,
    reads::a_secret_is_read,
    writes::a_status_patch_changes_only_the_status,
    writes::a_peer_counts_generations_of_its_spec,
    writes::a_patch_for_another_uid_is_rejected,
    writes::a_second_creation_is_rejected,
    writes::a_patch_without_effect_writes_nothing,
    writes::an_event_is_created_once,
    apply::an_apply_patch_keeps_the_annotations_of_others,
    apply::applying_the_same_values_again_writes_nothing,
    apply::an_apply_patch_does_not_recreate_a_deleted_node,
    watches::metadata_is_listed_then_watched,
    watches::one_node_is_watched_by_name,
    watches::an_object_that_loses_its_label_is_deleted_for_its_watcher,
    watches::a_watch_ends_at_its_timeout,
    watches::a_watch_from_a_forgotten_version_is_gone,
    broken_connections::a_watch_resumes_without_a_new_list_after_a_cut,
    broken_connections::a_stalled_watch_catches_up,
    broken_connections::a_delay_delays_both_directions,
}

/// Makes a test of each function for the real server: the small server tracks no field managers.
macro_rules! on_real_server {
    ($($test:ident),* $(,)?) => {
        mod field_ownership {
            $(#[test] fn $test() { crate::server::with_real(crate::apply::$test); })*
        }
    };
}

on_real_server! {
    an_apply_patch_removes_its_managers_annotations_that_it_omits,
    applying_the_same_values_again_keeps_the_managed_fields,
    an_annotation_of_another_manager_conflicts_unless_forced,
    a_value_of_two_managers_stays_until_both_omit_it,
}

/// Makes a test of each function for the small server: injected faults.
macro_rules! on_embedded_server {
    ($($test:ident),* $(,)?) => {
        mod faults {
            $(#[test] fn $test() { crate::server::with_embedded(crate::injected_faults::$test); })*
        }
    };
}

on_embedded_server! {
    a_watcher_lists_again_after_its_version_expired,
    a_page_token_expires,
    a_client_waits_as_long_as_retry_after_says,
    a_watcher_survives_429_with_back_off,
    a_fault_affects_only_the_requests_that_its_filter_matches,
    a_watch_gets_410_inside_its_stream,
    a_slow_server_answers_late,
    a_bookmark_moves_a_watch_forward,
    requests_are_counted_by_user_and_verb,
}
