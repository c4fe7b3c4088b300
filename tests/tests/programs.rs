//! The guest programs: each runs on the host's Linux first and then in a VM, and both must print the same.

use std::process::ExitCode;

use procvisor_tests::behaviours;
use procvisor_tests::compare::same_on_both;
use procvisor_tests::harness;

fn main() -> ExitCode {
    harness::run(behaviours![
        Kvm: a_title_written_over_argv_is_seen_by_everybody,
            arguments_of_every_shape_are_read_as_linux_reads_them,
            the_environment_is_bound_to_the_memory_of_open,
            a_name_is_set_written_and_escaped_as_linux_does,
            the_auxiliary_vector_is_the_kernels_own_copy,
            numbers_of_memory_agree_with_each_other,
            times_agree_with_what_passed,
            files_of_a_process_follow_its_life,
            where_a_process_waits_has_linuxs_name,
            small_files_take_and_hand_down_what_linux_does,
            pages_are_marked_counted_and_reached_as_on_linux,
            entries_of_a_process_are_linuxs_in_name_mode_and_owner,
            queued_signals_count_for_their_user,
            links_and_inodes_of_proc_are_linuxs,
            reads_by_offset_follow_the_rules_of_each_file,
            files_of_records_are_read_and_sought_as_linuxs,
            files_about_the_system_have_linuxs_form,
            counts_of_the_machine_follow_what_is_done,
            fork_exec_and_wait_tell_every_ending,
            sessions_and_groups_are_kept,
            signals_are_delivered_as_linux_does,
            pipes_end_break_and_fill_as_linux_pipes,
            mappings_split_merge_and_fault_as_linuxs,
            sixty_four_thousand_areas_are_listed_once_each,
            futexes_meet_in_shared_memory_and_outlive_their_holders,
            descriptors_are_shared_copied_and_listed,
            files_and_names_fail_as_on_linux,
            events_are_reported_by_level_edge_and_shot,
            another_thread_than_the_first_takes_over_the_process_by_exec,
            orphans_and_zombies_go_where_linux_sends_them,
            spinning_processes_keep_their_registers,
            privileged_and_odd_instructions_fault_as_on_linux,
            broken_frames_and_signal_storms_end_as_on_linux,
            buffers_inside_the_file_itself_are_copied_as_on_linux;
        KvmAndRoot: namespaces_are_made_and_joined_as_on_linux,
            files_of_namespaces_are_linuxs,
            values_of_the_kernel_are_read_and_written_as_on_linux,
            an_empty_network_shows_linuxs_headers,
            processes_hide_as_the_options_of_procfs_say,
            each_pid_namespace_has_numbers_and_a_proc_of_its_own,
            the_first_process_of_a_namespace_is_protected_and_ends_it,
            mounts_tell_and_hear_of_each_other_as_on_linux,
            mounts_of_a_namespace_change_as_on_linux,
            who_has_given_up_root_is_shown_and_refused_as_on_linux,
            id_maps_are_written_and_shown_as_on_linux,
            user_namespaces_are_made_joined_and_bounded_as_on_linux,
            signals_name_their_sender_as_the_receivers_namespace_does,
            what_cannot_be_written_refuses_as_on_linux,
            capabilities_follow_ids_and_programs_as_on_linux;
    ])
}

fn a_title_written_over_argv_is_seen_by_everybody() {
    same_on_both("title");
}

fn arguments_of_every_shape_are_read_as_linux_reads_them() {
    same_on_both("arguments");
}

fn the_environment_is_bound_to_the_memory_of_open() {
    same_on_both("environment");
}

fn a_name_is_set_written_and_escaped_as_linux_does() {
    same_on_both("comm");
}

fn the_auxiliary_vector_is_the_kernels_own_copy() {
    same_on_both("auxv");
}

fn numbers_of_memory_agree_with_each_other() {
    same_on_both("memory-numbers");
}

fn times_agree_with_what_passed() {
    same_on_both("times");
}

fn files_of_a_process_follow_its_life() {
    same_on_both("states");
}

fn where_a_process_waits_has_linuxs_name() {
    same_on_both("waits");
}

fn small_files_take_and_hand_down_what_linux_does() {
    same_on_both("settings");
}

fn pages_are_marked_counted_and_reached_as_on_linux() {
    same_on_both("pages");
}

fn entries_of_a_process_are_linuxs_in_name_mode_and_owner() {
    same_on_both("entries");
}

fn queued_signals_count_for_their_user() {
    same_on_both("queued");
}

fn links_and_inodes_of_proc_are_linuxs() {
    same_on_both("links");
}

fn reads_by_offset_follow_the_rules_of_each_file() {
    same_on_both("offsets");
}

fn files_of_records_are_read_and_sought_as_linuxs() {
    same_on_both("seq-rules");
}

fn files_about_the_system_have_linuxs_form() {
    same_on_both("system");
}

fn values_of_the_kernel_are_read_and_written_as_on_linux() {
    same_on_both("sysctls");
}

fn an_empty_network_shows_linuxs_headers() {
    same_on_both("net-files");
}

fn processes_hide_as_the_options_of_procfs_say() {
    same_on_both("hidepid");
}

fn counts_of_the_machine_follow_what_is_done() {
    same_on_both("root-files");
}

fn fork_exec_and_wait_tell_every_ending() {
    same_on_both("processes");
}

fn sessions_and_groups_are_kept() {
    same_on_both("sessions");
}

fn signals_are_delivered_as_linux_does() {
    same_on_both("signals");
}

fn pipes_end_break_and_fill_as_linux_pipes() {
    same_on_both("pipes");
}

fn mappings_split_merge_and_fault_as_linuxs() {
    same_on_both("memory");
}

fn sixty_four_thousand_areas_are_listed_once_each() {
    same_on_both("areas");
}

fn futexes_meet_in_shared_memory_and_outlive_their_holders() {
    same_on_both("futexes");
}

fn descriptors_are_shared_copied_and_listed() {
    same_on_both("descriptors");
}

fn files_and_names_fail_as_on_linux() {
    same_on_both("files");
}

fn events_are_reported_by_level_edge_and_shot() {
    same_on_both("events");
}

fn another_thread_than_the_first_takes_over_the_process_by_exec() {
    same_on_both("thread-exec");
}

fn orphans_and_zombies_go_where_linux_sends_them() {
    same_on_both("reaping");
}

fn each_pid_namespace_has_numbers_and_a_proc_of_its_own() {
    same_on_both("pid-namespaces");
}

fn the_first_process_of_a_namespace_is_protected_and_ends_it() {
    same_on_both("namespace-init");
}

fn spinning_processes_keep_their_registers() {
    same_on_both("preempt");
}

fn namespaces_are_made_and_joined_as_on_linux() {
    same_on_both("namespaces");
}

fn files_of_namespaces_are_linuxs() {
    same_on_both("nsfs");
}

fn mounts_tell_and_hear_of_each_other_as_on_linux() {
    same_on_both("propagation");
}

fn mounts_of_a_namespace_change_as_on_linux() {
    same_on_both("mount-namespaces");
}

fn who_has_given_up_root_is_shown_and_refused_as_on_linux() {
    same_on_both("credentials");
}

fn user_namespaces_are_made_joined_and_bounded_as_on_linux() {
    same_on_both("user-namespace");
}

fn capabilities_follow_ids_and_programs_as_on_linux() {
    same_on_both("capabilities");
}

fn id_maps_are_written_and_shown_as_on_linux() {
    same_on_both("id-maps");
}

fn privileged_and_odd_instructions_fault_as_on_linux() {
    same_on_both("hostile_cpu");
}

fn broken_frames_and_signal_storms_end_as_on_linux() {
    same_on_both("hostile_signals");
}

fn buffers_inside_the_file_itself_are_copied_as_on_linux() {
    same_on_both("hostile_files");
}

fn signals_name_their_sender_as_the_receivers_namespace_does() {
    same_on_both("signal-users");
}

fn what_cannot_be_written_refuses_as_on_linux() {
    same_on_both("unwritable");
}
