//! Boots real machines and asks for the outcome. One promise or one attack per file; the name of a file and of the test
//! in it are a sentence.
//!
//! They need `phase` and `init` built, as `make test` does (or `PHASE_BIN`, `PHASE_INIT`, `PHASE_KERNEL_ROOT`), and run in QEMU's
//! own translator, two at a time. They are one program, since linking each by itself would take longer than running it.

// A test that cannot go on says so by panicking, and so does what it stands on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

// The other test programs use the rest of it.
#[allow(dead_code)]
mod support;

mod accepts_nothing_older_than_what_was_acknowledged;
mod boots_a_release_through_kexec;
mod boots_a_release_without_a_kernel;
mod boots_debian_to_a_login;
mod boots_over_a_vlan_on_a_bond;
mod boots_the_older_release_if_the_newest_cannot_be_had;
mod boots_the_older_release_if_the_newest_is_forged;
mod boots_with_a_wrong_clock;
mod falls_back_to_direct_only_if_the_manifest_lists_it;
mod finds_a_release_in_the_dht;
mod follows_a_rotation_and_keeps_it;
mod follows_the_failure_policy;
mod follows_the_quick_start_as_written;
mod goes_on_after_the_connection_was_cut;
mod is_quiet_if_asked_to;
mod keeps_changes_if_owner_and_release_want_it;
mod keeps_private_what_is_private;
mod leaves_a_damaged_memory_to_the_policy;
mod loses_no_time_to_a_card_without_a_link;
mod measures_what_it_boots;
mod media;
mod opens_no_prompt_that_the_trust_file_forbids;
mod outlives_a_killed_worker;
mod refuses_a_manifest_with_one_flipped_bit;
mod refuses_a_release_that_a_stranger_signed;
mod refuses_a_release_that_was_not_logged;
mod refuses_a_server_that_sends_too_much;
mod refuses_an_artifact_with_one_flipped_bit;
mod refuses_an_expired_release;
mod refuses_too_little_memory_before_the_download;
mod restarts_if_the_release_has_no_init;
mod says_that_the_server_has_no_release;
mod says_that_the_server_is_away;
mod says_that_there_is_no_medium;
mod shares_until_it_jumps;
mod shows_the_menu_on_screen_and_serial_line;
mod takes_a_release_from_another_medium;
mod takes_from_the_next_origin_only_what_is_missing;
mod takes_the_newest_release_of_all_origins;
