"""Every item of the checklist has a test on a sound target, and one with a planted fault that turns it.

The table is literal, so that a reviewer can go from an item to its proof. It is held against the checklist, against
the notebooks, and against the test files, which are parsed and not run.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from runbook_lib import checklist
from runbook_lib.home import Home

REPOSITORY = Path(__file__).resolve().parent.parent

NOT_BUILT: set[str] = set()
"""What this version of the kit does not look at."""

ATTESTED = {"15.1.1", "15.1.2", "15.1.3", "R.3.2", "R.3.3"}
"""A person's word: sound once it is given, pending until then."""

SIGNED = (
    ("tests/record/test_seal.py::test_sign_offs_items_are_what_the_envelope_says",),
    ("tests/record/test_seal.py::test_a_key_signs_for_its_own_role_alone",),
)
"""A role's signature on the sealed record."""

TESTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    # item: (tests on a sound target, tests with a planted fault)
    "1.1": (
        (
            "tests/actions/test_secrets.py::test_placeholders_are_replaced_and_nothing_else",
            "tests/checks/test_dotenv.py::test_strong_secrets",
            "tests/checks/test_dotenv.py::test_the_file_is_private",
        ),
        (
            "tests/actions/test_secrets.py::test_a_password_that_cannot_be_proved_is_taken_back",
            "tests/checks/test_dotenv.py::test_a_weak_secret",
            "tests/checks/test_dotenv.py::test_the_file_is_readable_by_others_or_missing",
        ),
    ),
    "1.2.1": (
        (
            "tests/checks/test_dotenv.py::test_sound_settings_pass_every_item",
            "tests/actions/test_settings.py::test_the_declared_value_is_written",
        ),
        (
            "tests/checks/test_dotenv.py::test_one_wrong_setting_fails_exactly_its_item",
            "tests/checks/test_dotenv.py::test_another_value_than_declared",
        ),
    ),
    "1.2.2": (
        (
            "tests/checks/test_dotenv.py::test_debug_is_off",
            "tests/actions/test_settings.py::test_the_declared_value_is_written",
        ),
        (
            "tests/checks/test_dotenv.py::test_one_wrong_setting_fails_exactly_its_item",
            "tests/checks/test_dotenv.py::test_debug_is_not_off",
        ),
    ),
    "1.2.3": (
        ("tests/checks/test_dotenv.py::test_strong_secrets", "tests/checks/test_dotenv.py::test_secrets_differ"),
        (
            "tests/checks/test_dotenv.py::test_one_wrong_setting_fails_exactly_its_item",
            "tests/checks/test_dotenv.py::test_a_weak_secret",
        ),
    ),
    "1.2.4": (
        (
            "tests/checks/test_dotenv.py::test_sound_settings_pass_every_item",
            "tests/checks/test_dotenv.py::test_secrets_differ",
        ),
        (
            "tests/checks/test_dotenv.py::test_one_wrong_setting_fails_exactly_its_item",
            "tests/checks/test_dotenv.py::test_equal_or_missing_secrets",
        ),
    ),
    "1.2.5": (
        ("tests/checks/test_dotenv.py::test_a_postgresql_url",),
        (
            "tests/checks/test_dotenv.py::test_one_wrong_setting_fails_exactly_its_item",
            "tests/checks/test_dotenv.py::test_no_usable_postgresql_url",
        ),
    ),
    "1.2.6": (
        ("tests/checks/test_dotenv.py::test_a_redis_url",),
        (
            "tests/checks/test_dotenv.py::test_one_wrong_setting_fails_exactly_its_item",
            "tests/checks/test_dotenv.py::test_no_usable_redis_url",
        ),
    ),
    "1.2.7": (
        (
            "tests/checks/test_dotenv.py::test_origins_of_production",
            "tests/actions/test_settings.py::test_the_declared_value_is_written",
        ),
        (
            "tests/checks/test_dotenv.py::test_one_wrong_setting_fails_exactly_its_item",
            "tests/checks/test_dotenv.py::test_origins_beyond_production",
        ),
    ),
    "1.2.8": (
        ("tests/checks/test_dotenv.py::test_a_dsn", "tests/actions/test_settings.py::test_a_secret_value_is_not_shown"),
        (
            "tests/checks/test_dotenv.py::test_one_wrong_setting_fails_exactly_its_item",
            "tests/checks/test_dotenv.py::test_no_dsn",
        ),
    ),
    "1.2.9": (
        (
            "tests/checks/test_dotenv.py::test_metrics_are_on",
            "tests/actions/test_settings.py::test_the_declared_value_is_written",
        ),
        (
            "tests/checks/test_dotenv.py::test_one_wrong_setting_fails_exactly_its_item",
            "tests/checks/test_dotenv.py::test_metrics_are_not_on",
        ),
    ),
    "2.1": (
        ("tests/actions/test_install.py::test_what_is_installed_fits_together",),
        (
            "tests/actions/test_install.py::test_a_requirement_that_nothing_meets",
            "tests/actions/test_install.py::test_a_requirement_that_is_nowhere",
        ),
    ),
    "2.2": (
        ("tests/actions/test_install.py::test_the_front_ends_tree_is_complete",),
        (
            "tests/actions/test_install.py::test_a_package_that_is_missing",
            "tests/actions/test_install.py::test_a_lock_file_that_differs",
        ),
    ),
    "3.1": (
        (
            "tests/checks/test_database.py::test_the_schema_is_that_of_what_is_deployed",
            "tests/actions/test_backup.py::test_a_rollback_point",
            "tests/checks/test_dumps.py::test_a_whole_dump",
            "tests/actions/test_migrate.py::test_a_rehearsal_and_what_it_rehearsed",
            "tests/actions/test_migrate.py::test_an_empty_database_is_migrated_at_once",
        ),
        (
            "tests/checks/test_database.py::test_a_schema_that_is_not_that_of_what_is_deployed",
            "tests/actions/test_backup.py::test_too_little_space_is_no_backup",
            "tests/checks/test_dumps.py::test_a_changed_dump",
            "tests/actions/test_migrate.py::test_a_migration_that_fails_in_the_rehearsal",
            "tests/actions/test_migrate.py::test_an_empty_database_whose_first_migration_fails",
        ),
    ),
    "3.2": (
        (
            "tests/checks/test_database.py::test_the_applications_url",
            "tests/checks/test_database.py::test_the_applications_engine",
        ),
        (
            "tests/checks/test_database.py::test_a_url_that_is_refused",
            "tests/checks/test_database.py::test_an_engine_that_does_not_connect",
        ),
    ),
    "4.1": (
        ("tests/checks/test_suite.py::test_a_sound_suite",),
        ("tests/checks/test_suite.py::test_a_failing_test", "tests/checks/test_suite.py::test_too_few_tests"),
    ),
    "4.2": (
        ("tests/checks/test_suite.py::test_a_sound_page",),
        ("tests/checks/test_suite.py::test_a_failing_page", "tests/checks/test_suite.py::test_a_page_without_tests"),
    ),
    "4.3": (
        ("tests/checks/test_suite.py::test_enough_lines_are_covered",),
        ("tests/checks/test_suite.py::test_too_few_lines_are_covered",),
    ),
    "5.1.1": (
        ("tests/checks/test_supply_chain.py::test_packages_without_a_vulnerability",),
        (
            "tests/checks/test_supply_chain.py::test_a_vulnerable_package_fails_with_id_and_fixed_version",
            "tests/checks/test_supply_chain.py::test_a_package_that_was_skipped_is_named",
        ),
    ),
    "5.1.2": (
        ("tests/checks/test_supply_chain.py::test_locked_packages_without_a_vulnerability",),
        (
            "tests/checks/test_supply_chain.py::test_a_vulnerable_locked_package_fails_with_its_id",
            "tests/checks/test_supply_chain.py::test_a_registry_that_refuses_to_audit",
        ),
    ),
    "5.2.1": (
        ("tests/checks/test_container.py::test_a_clean_image",),
        (
            "tests/checks/test_container.py::test_a_vulnerable_image",
            "tests/checks/test_container.py::test_a_report_that_is_not_understood",
        ),
    ),
    "5.2.2": (
        ("tests/checks/test_container.py::test_a_clean_front_end_image",),
        ("tests/checks/test_container.py::test_a_vulnerable_image",),
    ),
    "5.3": (
        ("tests/checks/test_hardcoded.py::test_the_demo_application_is_sound",),
        (
            "tests/checks/test_hardcoded.py::test_the_checklists_own_text_is_found_by_file_and_line",
            "tests/checks/test_hardcoded.py::test_a_secret_is_found_and_never_shown",
        ),
    ),
    "5.4.1": (
        (
            "tests/checks/test_cors.py::test_cors_on_the_sandbox",
            "tests/checks/test_cors.py::test_the_configuration_of_the_sandbox",
        ),
        (
            "tests/checks/test_cors.py::test_a_foreign_origin_that_is_let_in",
            "tests/checks/test_cors.py::test_a_wildcard_in_the_configuration",
        ),
    ),
    "5.4.2": (
        (
            "tests/checks/test_cors.py::test_cors_on_the_sandbox",
            "tests/checks/test_cors.py::test_the_configuration_of_the_sandbox",
        ),
        (
            "tests/checks/test_cors.py::test_a_declared_origin_that_is_refused",
            "tests/checks/test_dotenv.py::test_origins_beyond_production",
        ),
    ),
    "6.1": (
        (
            "tests/actions/test_build.py::test_a_build_that_writes_its_artefact",
            "tests/checks/test_images.py::test_a_sound_artefact",
        ),
        (
            "tests/actions/test_build.py::test_a_build_that_fails_or_writes_nothing",
            "tests/checks/test_images.py::test_a_source_map_with_a_secret",
        ),
    ),
    "6.2": (
        ("tests/actions/test_build.py::test_images_are_built_and_tagged",),
        ("tests/actions/test_build.py::test_a_platform_that_builds_nothing_fails",),
    ),
    "6.3": (
        ("tests/actions/test_build.py::test_images_are_built_and_tagged",),
        ("tests/actions/test_build.py::test_a_tag_that_names_something_else",),
    ),
    "7.1.1": (
        (
            "tests/actions/test_deployment.py::test_the_release_that_runs_is_deployed_to_the_sandboxs_staging_again",
            "tests/actions/test_deployment.py::test_staging_receives_the_same_images_after_its_migrations",
        ),
        (
            "tests/actions/test_deployment.py::test_another_image_on_staging_fails_and_nothing_is_deployed",
            "tests/actions/test_deployment.py::test_another_commit_on_staging_fails_and_nothing_is_deployed",
        ),
    ),
    "7.1.2": (
        ("tests/checks/test_staging.py::test_staging_passes_on_the_sandbox",),
        ("tests/checks/test_staging.py::test_smoke_fails_where_one_of_the_three_does_not_answer",),
    ),
    "7.1.3": (
        ("tests/checks/test_staging.py::test_staging_passes_on_the_sandbox",),
        ("tests/checks/test_staging.py::test_a_feature_that_differs_on_staging_fails",),
    ),
    "7.1.4": (
        ("tests/checks/test_staging.py::test_performance_passes_on_the_sandboxs_staging",),
        ("tests/checks/test_staging.py::test_a_slow_staging_fails",),
    ),
    "7.2": (
        (
            "tests/actions/test_backup.py::test_the_refreshed_point_has_the_new_rows",
            "tests/checks/test_dumps.py::test_a_whole_dump",
        ),
        (
            "tests/actions/test_backup.py::test_a_schema_that_moved_meanwhile",
            "tests/checks/test_dumps.py::test_a_dump_without_a_table",
        ),
    ),
    "8.1": (
        (
            "tests/actions/test_deployment.py::test_deploy_passes_on_the_sandbox_with_the_release_that_runs",
            "tests/actions/test_deployment.py::test_what_ran_before_is_recorded",
            "tests/actions/test_migrate.py::test_a_rehearsal_and_what_it_rehearsed",
            "tests/checks/test_compose_file.py::test_a_sound_file",
        ),
        (
            "tests/checks/test_compose_file.py::test_a_planted_risk_is_found",
            "tests/actions/test_deployment.py::test_a_platform_that_starts_something_else_fails",
            "tests/actions/test_migrate.py::test_a_migration_that_fails_leaves_the_revision",
            "tests/actions/test_migrate.py::test_several_heads_fail_with_their_names",
        ),
    ),
    "8.2": (
        ("tests/checks/test_services.py::test_services_pass_on_the_sandbox",),
        (
            "tests/checks/test_services.py::test_a_service_that_the_sandboxs_supervisor_does_not_run_fails",
            "tests/checks/test_services.py::test_a_service_that_does_not_stay_up_fails",
        ),
    ),
    "8.3": (
        (
            "tests/checks/test_http.py::test_health_passes_on_the_sandbox",
            "tests/checks/test_http.py::test_the_version_passes_on_the_sandbox",
        ),
        (
            "tests/checks/test_http.py::test_health_fails_on_a_wrong_answer",
            "tests/checks/test_http.py::test_the_version_that_answers",
        ),
    ),
    "9.1.1": (
        ("tests/checks/browser/test_browser.py::test_the_front_page_loads_on_the_sandbox",),
        (
            "tests/checks/browser/test_browser.py::test_a_page_with_an_error",
            "tests/checks/browser/test_browser.py::test_a_bad_certificate",
            "tests/checks/browser/test_browser.py::test_a_page_without_tls",
        ),
    ),
    "9.1.2": (
        (
            "tests/checks/browser/test_browser.py::test_a_code_before_the_camera_on_the_sandbox",
            "tests/checks/browser/test_browser.py::test_a_picture_of_a_code_on_the_sandbox",
        ),
        (
            "tests/checks/browser/test_browser.py::test_another_code_than_the_one_expected_on_the_sandbox",
            "tests/checks/browser/test_browser.py::test_a_camera_that_nothing_asks_for",
            "tests/checks/browser/test_browser.py::test_a_picture_that_nobody_reads",
        ),
    ),
    "9.1.3": (
        ("tests/checks/browser/test_browser.py::test_typed_content_on_the_sandbox",),
        ("tests/checks/browser/test_browser.py::test_typed_content_without_its_result",),
    ),
    "9.1.4": (
        ("tests/checks/browser/test_browser.py::test_results_on_the_sandbox",),
        (
            "tests/checks/browser/test_browser.py::test_hostile_content_that_executes_beside_a_result_that_reads_rightly",
            "tests/checks/browser/test_browser.py::test_invalid_content_that_passes_for_valid",
        ),
    ),
    "9.2.1": (
        ("tests/checks/test_openapi.py::test_the_api_docs_pass_on_the_sandbox",),
        (
            "tests/checks/test_openapi.py::test_a_docs_page_that_is_no_page_fails",
            "tests/checks/test_openapi.py::test_an_openapi_document_with_an_error_fails",
        ),
    ),
    "9.2.2": (
        ("tests/checks/test_http.py::test_the_scan_endpoint_passes_on_the_sandbox",),
        (
            "tests/checks/test_http.py::test_an_api_that_refuses_what_is_valid_fails",
            "tests/checks/test_http.py::test_an_api_that_takes_what_is_invalid_or_breaks_on_it_fails",
        ),
    ),
    "9.2.3": (
        ("tests/checks/test_http.py::test_providers_pass_on_the_sandbox",),
        ("tests/checks/test_http.py::test_providers_of_another_shape_fail",),
    ),
    "9.2.4": (
        ("tests/checks/test_latency.py::test_response_times_pass_on_the_sandbox",),
        ("tests/checks/test_latency.py::test_slow_or_wrong_endpoints_fail",),
    ),
    "9.3": (
        ("tests/checks/test_services.py::test_the_database_inside_passes_on_the_sandbox",),
        ("tests/checks/test_services.py::test_a_wrong_database_url_inside_fails",),
    ),
    "9.4": (
        (
            "tests/checks/test_cache.py::test_the_cache_passes_on_the_sandbox",
            "tests/checks/test_services.py::test_the_cache_inside_passes_on_the_sandbox",
        ),
        (
            "tests/checks/test_services.py::test_a_back_end_without_its_cache_fails",
            "tests/checks/test_cache.py::test_the_wrong_password_in_the_applications_url_fails",
            "tests/checks/test_cache.py::test_a_cache_without_a_password_fails",
        ),
    ),
    "10.1.1": (
        ("tests/checks/errors/test_errors.py::test_the_dsn_passes_on_the_sandbox",),
        ("tests/checks/errors/test_errors.py::test_a_service_that_runs_with_another_dsn_or_none_fails",),
    ),
    "10.1.2": (
        ("tests/checks/errors/test_errors.py::test_a_test_error_is_sent_and_found_again",),
        (
            "tests/checks/errors/test_errors.py::test_a_dsn_to_a_tracker_that_is_down_fails_by_its_own_words",
            "tests/checks/errors/test_errors.py::test_a_dsn_with_a_key_that_the_tracker_refuses_fails_at_once",
        ),
    ),
    "10.1.3": (
        (
            "tests/checks/errors/test_errors.py::test_a_test_error_is_sent_and_found_again",
            "tests/checks/errors/test_errors.py::test_sentry_shows_the_event_after_a_while",
        ),
        (
            "tests/checks/errors/test_errors.py::test_a_test_error_that_never_arrived_fails",
            "tests/checks/errors/test_errors.py::test_sentry_that_never_shows_the_event_fails",
        ),
    ),
    "10.2.1": (
        ("tests/checks/test_metrics.py::test_the_endpoint_passes_on_the_sandbox",),
        ("tests/checks/test_metrics.py::test_an_endpoint_that_speaks_otherwise_fails",),
    ),
    "10.2.2": (
        (
            "tests/checks/test_metrics.py::test_counters_move_on_the_sandbox",
            "tests/checks/test_prometheus.py::test_a_target_that_is_up_passes_by_its_job_or_its_address",
        ),
        (
            "tests/checks/test_metrics.py::test_counters_that_stand_still_fail",
            "tests/checks/test_prometheus.py::test_a_target_that_is_down_fails",
            "tests/checks/test_prometheus.py::test_no_target_or_no_series_fails",
        ),
    ),
    "10.3.1": (
        ("tests/checks/test_log_aggregation.py::test_the_declared_driver_passes",),
        (
            "tests/checks/test_log_aggregation.py::test_another_driver_than_the_declared_one_fails",
            "tests/checks/test_log_aggregation.py::test_the_declared_shipper_must_run",
        ),
    ),
    "10.3.2": (
        ("tests/checks/test_log_aggregation.py::test_a_request_is_found_in_the_sandboxes_logs",),
        (
            "tests/checks/test_log_aggregation.py::test_a_service_that_does_not_log_the_request_fails",
            "tests/checks/test_log_aggregation.py::test_logs_that_show_nothing_fail",
        ),
    ),
    "10.3.3": (
        ("tests/checks/test_log_aggregation.py::test_the_sandboxes_logs_are_kept_as_declared",),
        ("tests/checks/test_log_aggregation.py::test_logs_that_are_not_kept_as_declared_fail",),
    ),
    "10.4.1": (
        ("tests/checks/test_uptime.py::test_the_sandboxes_probe_reports_up",),
        ("tests/checks/test_uptime.py::test_the_blackbox_exporter_tells_up_from_down",),
    ),
    "10.4.2": (
        (
            "tests/checks/test_alerts.py::test_an_alert_arrives_on_the_sandbox",
            "tests/checks/test_alerts.py::test_an_alert_arrives_through_alertmanager",
        ),
        (
            "tests/checks/test_alerts.py::test_an_alert_that_is_routed_elsewhere_fails_and_says_where",
            "tests/checks/test_alerts.py::test_an_alert_that_is_not_taken_fails",
        ),
    ),
    "11.1": (
        ("tests/checks/test_load.py::test_a_load_test_passes_on_the_sandbox",),
        (
            "tests/checks/test_load.py::test_a_service_that_answers_slowly_fails",
            "tests/checks/test_load.py::test_a_service_that_fails_now_and_then_fails",
        ),
    ),
    "11.2": (
        ("tests/checks/test_latency.py::test_the_response_time_passes_on_the_sandbox",),
        ("tests/checks/test_latency.py::test_a_slow_answer_fails",),
    ),
    "11.3.1": (
        ("tests/checks/test_database_performance.py::test_slow_queries_pass_on_the_sandbox",),
        (
            "tests/checks/test_database_performance.py::"
            "test_a_slow_query_in_the_log_fails_and_is_shown_without_literals",
        ),
    ),
    "11.3.2": (
        ("tests/checks/test_database_performance.py::test_indexes_pass_on_the_sandbox",),
        (
            "tests/checks/test_database_performance.py::test_a_large_table_that_is_scanned_fails_and_is_named",
            "tests/checks/test_database_performance.py::test_an_invalid_index_fails_and_is_named",
        ),
    ),
    "11.3.3": (
        ("tests/checks/test_database_performance.py::test_connections_pass_on_the_sandbox",),
        (
            "tests/checks/test_database_performance.py::test_too_many_connections_fail",
            "tests/checks/test_database_performance.py::test_a_session_that_idles_in_a_transaction_fails",
        ),
    ),
    "12.1.1": (
        (
            "tests/checks/test_tls.py::test_the_sandbox_deserves_its_grade",
            "tests/checks/test_tls.py::test_a_server_that_deserves_the_best",
        ),
        (
            "tests/checks/test_tls.py::test_without_hsts_it_is_not_the_best",
            "tests/checks/test_tls.py::test_an_old_protocol_beside_modern_ones",
            "tests/checks/test_tls.py::test_old_protocols_alone",
            "tests/checks/test_tls.py::test_suites_that_protect_nobody",
            "tests/checks/test_tls.py::test_an_authority_that_nobody_trusts",
            "tests/checks/test_tls.py::test_a_certificate_that_expired_yesterday",
            "tests/checks/test_tls.py::test_a_certificate_for_another_name",
        ),
    ),
    "12.1.2": (
        (
            "tests/checks/test_headers.py::test_hsts_on_the_sandbox",
            "tests/checks/test_headers.py::test_http_redirects_on_the_sandbox",
        ),
        (
            "tests/checks/test_headers.py::test_hsts",
            "tests/checks/test_headers.py::test_plain_http_is_judged_by_where_it_leads",
        ),
    ),
    "12.1.3": (
        ("tests/checks/test_tls.py::test_the_sandbox_refuses_old_protocols",),
        ("tests/checks/test_tls.py::test_an_old_protocol_that_is_accepted_is_named",),
    ),
    "12.2.1": (
        (
            "tests/checks/test_headers.py::test_headers_pass_on_the_sandbox",
            "tests/checks/test_cors.py::test_cors_on_the_sandbox",
        ),
        (
            "tests/checks/test_cors.py::test_a_foreign_origin_that_is_let_in",
            "tests/checks/test_cors.py::test_a_declared_origin_that_is_refused",
            "tests/checks/test_headers.py::test_one_missing_header_fails_exactly_its_check",
            "tests/checks/test_headers.py::test_a_loose_policy_fails_and_is_named",
        ),
    ),
    "12.2.2": (
        ("tests/checks/test_headers.py::test_headers_pass_on_the_sandbox",),
        (
            "tests/checks/test_headers.py::test_one_missing_header_fails_exactly_its_check",
            "tests/checks/test_headers.py::test_frame_options",
        ),
    ),
    "12.2.3": (
        ("tests/checks/test_headers.py::test_headers_pass_on_the_sandbox",),
        (
            "tests/checks/test_headers.py::test_one_missing_header_fails_exactly_its_check",
            "tests/checks/test_headers.py::test_content_type_options",
        ),
    ),
    "12.2.4": (
        ("tests/checks/test_headers.py::test_headers_pass_on_the_sandbox",),
        (
            "tests/checks/test_headers.py::test_one_missing_header_fails_exactly_its_check",
            "tests/checks/test_headers.py::test_referrer_policy",
        ),
    ),
    "12.3.1": (
        ("tests/checks/test_ratelimit.py::test_rate_limits_pass_on_the_sandbox_and_leave_it_open",),
        ("tests/checks/test_ratelimit.py::test_a_limit_that_does_not_hold_fails",),
    ),
    "12.3.2": (
        ("tests/checks/test_ratelimit.py::test_rate_limits_pass_on_the_sandbox_and_leave_it_open",),
        ("tests/checks/test_ratelimit.py::test_answers_429",),
    ),
    "12.3.3": (
        ("tests/checks/test_ratelimit.py::test_rate_limits_pass_on_the_sandbox_and_leave_it_open",),
        (
            "tests/checks/test_ratelimit.py::test_a_limited_client_is_told_when_to_come_back",
            "tests/checks/test_ratelimit.py::test_no_429_no_headers",
        ),
    ),
    "12.4.1": (
        ("tests/checks/test_ports.py::test_ports_pass_on_the_sandbox",),
        ("tests/checks/test_ports.py::test_a_port_that_is_not_declared_fails_and_is_named",),
    ),
    "12.4.2": (
        (
            "tests/checks/test_ports.py::test_the_stores_are_private_in_the_sandbox",
            "tests/checks/test_compose_file.py::test_stores_that_are_not_published",
        ),
        (
            "tests/checks/test_ports.py::test_a_store_on_the_public_address_fails",
            "tests/checks/test_compose_file.py::test_a_store_that_is_published_is_found_whatever_else_is_risked",
        ),
    ),
    "12.4.3": (
        ("tests/checks/test_ports.py::test_administration_passes_on_the_sandbox",),
        ("tests/checks/test_ports.py::test_administration_is_judged_by_its_answer",),
    ),
    "13.1.1": (
        (
            "tests/handbook/test_handbook.py::test_the_page_of_urls",
            "tests/checks/test_documents.py::test_the_sandboxs_links",
            "tests/checks/test_documents.py::test_links_that_answer",
        ),
        (
            "tests/checks/test_documents.py::test_a_link_that_does_not_answer",
            "tests/checks/test_documents.py::test_a_host_that_is_silent_is_unanswerable",
        ),
    ),
    "13.1.2": (
        ("tests/handbook/test_handbook.py::test_the_page_of_endpoints",),
        (
            "tests/checks/test_documents.py::test_an_endpoint_that_nobody_documented",
            "tests/checks/test_documents.py::test_no_openapi_document",
        ),
    ),
    "13.1.3": (
        ("tests/handbook/test_handbook.py::test_the_page_on_deploying",),
        (
            "tests/checks/test_documents.py::test_a_page_that_is_missing_or_changed",
            "tests/handbook/test_handbook.py::test_a_folder_that_cannot_be_written_to",
        ),
    ),
    "13.1.4": (
        ("tests/handbook/test_handbook.py::test_the_page_on_rolling_back",),
        (
            "tests/checks/test_documents.py::test_a_page_that_is_missing_or_changed",
            "tests/handbook/test_handbook.py::test_a_folder_that_cannot_be_written_to",
        ),
    ),
    "13.2.1": (
        (
            "tests/handbook/test_handbook.py::test_the_page_of_common_issues",
            "tests/handbook/test_handbook.py::test_what_failed_before_is_remembered",
        ),
        (
            "tests/handbook/test_handbook.py::test_a_damaged_run_is_named_and_the_others_are_read",
            "tests/checks/test_documents.py::test_a_page_that_is_missing_or_changed",
        ),
    ),
    "13.2.2": (
        (
            "tests/checks/test_escalation.py::test_everybody_can_be_reached",
            "tests/handbook/test_handbook.py::test_the_pages_on_whom_to_call",
        ),
        (
            "tests/checks/test_escalation.py::test_an_empty_contact_fails",
            "tests/checks/test_escalation.py::test_steps_out_of_order",
        ),
    ),
    "13.2.3": (
        (
            "tests/checks/test_escalation.py::test_everybody_can_be_reached",
            "tests/handbook/test_handbook.py::test_the_pages_on_whom_to_call",
        ),
        (
            "tests/checks/test_escalation.py::test_an_empty_contact_fails",
            "tests/checks/test_escalation.py::test_a_rota_that_has_not_begun",
        ),
    ),
    "14.1.1": (
        (
            "tests/schedules/test_schedules.py::test_supervisors_schedule_takes_a_backup_by_itself",
            "tests/schedules/test_schedules.py::test_the_first_daily_backup_is_taken_beside_a_runs_own_dumps",
            "tests/schedules/test_schedules.py::test_crons_file",
            "tests/schedules/test_schedules.py::test_systemds_units",
            "tests/checks/test_backups.py::test_a_backup_of_today",
        ),
        (
            "tests/schedules/test_schedules.py::test_a_timer_that_does_not_run",
            "tests/checks/test_backups.py::test_no_backup_of_today",
            "tests/checks/test_backups.py::test_a_runs_own_dumps_say_nothing_of_the_schedule",
        ),
    ),
    "14.1.2": (
        ("tests/actions/test_restoration.py::test_a_whole_backup_restores",),
        (
            "tests/actions/test_restoration.py::test_a_backup_file_cut_short",
            "tests/actions/test_restoration.py::test_a_dump_of_another_database",
            "tests/actions/test_restoration.py::test_another_databases_file_under_our_metadata",
            "tests/actions/test_restoration.py::test_a_backup_whose_rows_were_others",
        ),
    ),
    "14.1.3": (
        ("tests/actions/test_retention.py::test_the_old_ones_go_with_their_metadata",),
        (
            "tests/actions/test_retention.py::test_what_retention_never_does",
            "tests/actions/test_retention.py::test_the_only_whole_one_stays",
            "tests/actions/test_retention.py::test_nothing_goes_where_the_newest_is_a_riddle",
        ),
    ),
    "14.2.1": (
        ("tests/handbook/test_handbook.py::test_the_recovery_pages_commands_do_recover",),
        (
            "tests/handbook/test_handbook.py::test_the_recovery_page_needs_a_measured_restoration",
            "tests/handbook/test_handbook.py::test_pasting_on_after_a_failed_restoration_swaps_nothing",
            "tests/checks/test_escalation.py::test_nobody_is_declared",
        ),
    ),
    "14.2.2": (
        ("tests/actions/test_restoration.py::test_the_service_runs_on_the_newest_backup",),
        (
            "tests/actions/test_restoration.py::test_a_service_that_does_not_start",
            "tests/actions/test_restoration.py::test_a_service_that_never_answers",
        ),
    ),
    "14.2.3": (
        ("tests/checks/test_backups.py::test_objectives_that_hold",),
        (
            "tests/checks/test_backups.py::test_objectives_that_do_not_hold",
            "tests/checks/test_backups.py::test_a_daily_schedule_cannot_promise_less_than_a_day",
            "tests/checks/test_backups.py::test_objectives_that_nobody_declared",
        ),
    ),
    "15.2.1": (
        ("tests/actions/test_announce.py::test_an_announcement_arrives_on_the_sandbox",),
        (
            "tests/actions/test_announce.py::test_a_channel_that_refuses_fails_and_the_others_are_told",
            "tests/actions/test_announce.py::test_an_announcement_that_does_not_show_waits_for_a_person",
        ),
    ),
    "15.2.2": (
        ("tests/checks/test_links.py::test_the_status_page_passes_on_the_sandbox",),
        (
            "tests/checks/test_links.py::test_what_the_status_page_says",
            "tests/checks/test_links.py::test_a_status_page_that_is_not_there_fails",
        ),
    ),
    "15.2.3": (
        ("tests/checks/test_links.py::test_links_pass_on_the_sandbox",),
        (
            "tests/checks/test_links.py::test_support_without_channels_fails",
            "tests/checks/test_links.py::test_a_support_channel_that_does_not_answer_is_named",
        ),
    ),
    "C.1": (
        ("tests/checks/test_contacts.py::test_contacts_pass_on_the_sandbox",),
        (
            "tests/checks/test_contacts.py::test_a_contact_that_is_missing_fails",
            "tests/checks/test_contacts.py::test_a_contact_that_cannot_be_called_fails",
        ),
    ),
    "C.2": (
        ("tests/checks/test_contacts.py::test_contacts_pass_on_the_sandbox",),
        (
            "tests/checks/test_contacts.py::test_a_contact_that_is_missing_fails",
            "tests/checks/test_contacts.py::test_a_contact_that_cannot_be_called_fails",
        ),
    ),
    "C.3": (
        ("tests/checks/test_contacts.py::test_contacts_pass_on_the_sandbox",),
        (
            "tests/checks/test_contacts.py::test_a_contact_that_is_missing_fails",
            "tests/checks/test_contacts.py::test_a_contact_that_cannot_be_called_fails",
        ),
    ),
    "C.4": (
        ("tests/checks/test_contacts.py::test_contacts_pass_on_the_sandbox",),
        (
            "tests/checks/test_contacts.py::test_a_contact_that_is_missing_fails",
            "tests/checks/test_contacts.py::test_a_contact_that_cannot_be_called_fails",
        ),
    ),
    "C.5": (
        ("tests/checks/test_links.py::test_links_pass_on_the_sandbox",),
        ("tests/checks/test_links.py::test_a_dashboard_that_does_not_answer_or_is_not_declared_fails",),
    ),
    "C.6": (
        ("tests/checks/test_links.py::test_links_pass_on_the_sandbox",),
        ("tests/checks/test_links.py::test_a_dashboard_that_does_not_answer_or_is_not_declared_fails",),
    ),
    "C.7": (
        ("tests/checks/test_links.py::test_links_pass_on_the_sandbox",),
        ("tests/checks/test_links.py::test_a_dashboard_that_does_not_answer_or_is_not_declared_fails",),
    ),
    "C.8": (
        ("tests/checks/test_links.py::test_links_pass_on_the_sandbox",),
        ("tests/checks/test_links.py::test_a_document_that_does_not_answer_or_is_not_declared_fails",),
    ),
    "C.9": (
        ("tests/checks/test_links.py::test_links_pass_on_the_sandbox",),
        ("tests/checks/test_links.py::test_a_document_that_does_not_answer_or_is_not_declared_fails",),
    ),
    "C.10": (
        ("tests/checks/test_links.py::test_links_pass_on_the_sandbox",),
        ("tests/checks/test_links.py::test_a_document_that_does_not_answer_or_is_not_declared_fails",),
    ),
    "S.1": (
        ("tests/checks/test_services.py::test_services_pass_on_the_sandbox",),
        (
            "tests/checks/test_services.py::test_a_service_that_the_sandboxs_supervisor_does_not_run_fails",
            "tests/checks/test_services.py::test_a_service_that_does_not_stay_up_fails",
        ),
    ),
    "S.2": (
        ("tests/checks/test_http.py::test_health_passes_on_the_sandbox",),
        (
            "tests/checks/test_http.py::test_health_fails_on_a_wrong_answer",
            "tests/checks/test_http.py::test_health_fails_where_the_connection_is_refused",
        ),
    ),
    "S.3": (
        ("tests/checks/test_front_page.py::test_the_front_page_passes_on_the_sandbox",),
        ("tests/checks/test_front_page.py::test_a_front_page_over_http_fails",),
    ),
    "S.4": (
        ("tests/checks/test_http.py::test_features_pass_on_the_sandbox",),
        ("tests/checks/test_http.py::test_a_feature_that_differs_is_the_row_marked_no",),
    ),
    "S.5": (
        ("tests/checks/test_database_performance.py::test_queries_execute_on_the_sandbox",),
        ("tests/checks/test_database_performance.py::test_a_stuck_session_fails",),
    ),
    "S.6": (
        ("tests/checks/test_success.py::test_the_error_rate_passes_on_the_sandbox",),
        (
            "tests/checks/test_success.py::test_errors_that_only_others_meet_fail",
            "tests/checks/test_success.py::test_errors_that_we_meet_fail",
        ),
    ),
    "S.7": (
        ("tests/checks/test_success.py::test_response_times_pass_on_the_sandbox",),
        ("tests/checks/test_success.py::test_slow_answers_fail", "tests/checks/test_success.py::test_no_answer_fails"),
    ),
    "S.8": (
        ("tests/checks/test_logs.py::test_the_logs_pass_on_the_sandbox",),
        ("tests/checks/test_logs.py::test_a_critical_line_since_the_deployment_fails_and_is_shown",),
    ),
    "S.9": (
        (
            "tests/checks/test_success.py::test_alerts_that_do_not_fire_pass",
            "tests/checks/test_prometheus.py::test_grafana_that_is_well_passes",
        ),
        (
            "tests/checks/test_success.py::test_firing_alerts_fail",
            "tests/checks/test_prometheus.py::test_a_pending_alert_passes_and_a_firing_one_fails",
            "tests/checks/test_prometheus.py::test_grafana_that_is_not_well_fails",
        ),
    ),
    "S.10": (
        ("tests/checks/test_success.py::test_a_transaction_passes_on_the_sandbox",),
        (
            "tests/checks/test_success.py::test_a_transaction_that_is_not_accepted_fails",
            "tests/checks/test_success.py::test_a_transaction_that_is_accepted_and_not_kept_fails",
        ),
    ),
    **dict.fromkeys(("O.1", "O.2", "O.3", "O.4"), SIGNED),
    "O.5": (
        (
            "tests/actions/test_deployment_record.py::test_every_gate_passed_is_successful",
            "tests/actions/test_deployment_record.py::test_a_finished_rollback_in_the_run_itself",
        ),
        (
            "tests/actions/test_deployment_record.py::test_a_gate_that_has_not_passed_is_partial",
            "tests/actions/test_deployment_record.py::test_a_run_that_has_deployed_nothing_has_no_record",
        ),
    ),
    "R.1.1": (
        (
            "tests/checks/test_traffic.py::test_the_sandboxs_closed_edge_turns_users_away_and_lets_the_runbook_pass",
            "tests/platforms/test_edges.py::test_commands_close_and_open",
        ),
        (
            "tests/checks/test_traffic.py::test_the_sandboxs_open_edge_lets_users_in",
            "tests/checks/test_traffic.py::test_only_503_with_retry_after_counts",
            "tests/platforms/test_edges.py::test_a_marker_that_cannot_be_written_or_removed",
        ),
    ),
    "R.1.2": (
        ("tests/actions/test_rollback.py::test_what_ran_before_is_started",),
        (
            "tests/actions/test_rollback.py::test_a_platform_that_starts_something_else_fails",
            "tests/actions/test_rollback.py::test_a_release_without_images_is_not_gone_back_to_and_nothing_is_stopped",
        ),
    ),
    "R.1.3": (
        (
            "tests/actions/test_rollback.py::test_a_changed_schema_is_restored_and_what_was_written_since_is_kept",
            "tests/actions/test_rollback.py::test_an_unchanged_schema_is_not_restored",
            "tests/actions/test_rollback.py::test_the_schema_fits_the_release_that_was_put_back",
        ),
        (
            "tests/actions/test_rollback.py::test_a_damaged_backup_is_refused_before_anything_is_touched",
            "tests/actions/test_rollback.py::test_a_dump_of_another_database_is_refused_before_anything_is_touched",
            "tests/actions/test_rollback.py::test_a_restore_that_fails_leaves_the_live_database_as_it_was",
        ),
    ),
    "R.2.1": (
        ("tests/checks/test_services.py::test_services_pass_on_the_sandbox",),
        ("tests/checks/test_services.py::test_a_service_that_does_not_stay_up_fails",),
    ),
    "R.2.2": (
        (
            "tests/checks/test_traffic.py::test_the_sandboxs_closed_edge_turns_users_away_and_lets_the_runbook_pass",
            "tests/actions/test_rollback.py::test_the_version_that_ran_before_answers",
        ),
        (
            "tests/actions/test_rollback.py::test_another_version_than_the_one_that_ran_before_fails",
            "tests/checks/test_traffic.py::test_a_bypass_that_is_not_set_is_no_verdict",
        ),
    ),
    "R.2.3": (
        (
            "tests/checks/test_success.py::test_the_error_rate_passes_on_the_sandbox",
            "tests/actions/test_edge.py::test_it_closes_and_reopens_when_everything_is_proved",
            "tests/checks/test_traffic.py::test_the_sandboxs_open_edge_lets_users_in",
        ),
        (
            "tests/checks/test_success.py::test_errors_that_we_meet_fail",
            "tests/actions/test_edge.py::test_it_stays_closed_while_anything_is_not_proved",
        ),
    ),
    "R.3.1": (
        (
            "tests/actions/test_post_mortem.py::test_it_tells_what_failed_what_was_restored_and_in_which_order",
            "tests/actions/test_post_mortem.py::test_it_is_written_on_the_sandbox",
        ),
        ("tests/actions/test_post_mortem.py::test_without_a_deployment_there_is_no_post_mortem",),
    ),
}
PAIRS = [(item, *pair) for item, pair in TESTS.items()]


@cache
def bound() -> dict[str, frozenset[str]]:
    """By item, the names of the functions whose calls its notebook cell hands to ``phase.item``."""
    found = {}
    for phase in checklist.phases():
        for cell in json.loads((Home(REPOSITORY).notebooks / phase.notebook).read_text())["cells"]:
            source = "".join(cell["source"])
            if cell["cell_type"] == "code" and source.startswith("phase.item("):
                statement = ast.parse(source).body[0]
                assert isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)
                item, *steps = statement.value.args
                found[ast.literal_eval(item)] = frozenset(ast.unparse(step.func) for step in steps)
    return found


@cache
def parsed(file: str) -> ast.Module:
    return ast.parse((REPOSITORY / file).read_text())


def functions_in(file: str) -> Iterator[str]:
    return (node.name for node in parsed(file).body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def attributes(file: str) -> set[str]:
    """Every name that stands behind a dot in a file."""
    return {node.attr for node in ast.walk(parsed(file)) if isinstance(node, ast.Attribute)}


def items_bound_to(name: str) -> set[str]:
    return {item for item, functions in bound().items() if functions == {name}}


def test_every_item_stands_in_the_table_or_is_named_as_not_built_or_attested():
    everything = {item.id for phase in checklist.phases() for item in phase.items}
    listed = [*TESTS, *NOT_BUILT, *ATTESTED]
    assert sorted(listed) == sorted(set(listed)), "an item stands twice"
    assert everything - set(listed) == set(), "items without tests"
    assert set(listed) - everything == set(), "no such items"


def test_what_is_not_built_is_what_the_notebooks_say_is_not():
    assert items_bound_to("not_built") == NOT_BUILT


def test_what_is_attested_is_what_the_notebooks_ask_a_person_for():
    assert items_bound_to("attest") == ATTESTED


@pytest.mark.parametrize(("item", "sound", "faults"), PAIRS, ids=TESTS)
def test_an_items_tests_exist_and_are_of_both_kinds(item, sound, faults):
    assert sound, "no test on a sound target"
    assert faults, "no test with a planted fault"
    assert not set(sound) & set(faults), "one test cannot be both"
    for node in (*sound, *faults):
        file, _, name = node.partition("::")
        assert name.startswith("test_")
        assert (REPOSITORY / file).is_file(), f"{file} does not exist"
        assert name in functions_in(file), f"{file} has no {name}"


@pytest.mark.parametrize(("item", "sound", "faults"), PAIRS, ids=TESTS)
def test_every_step_of_an_item_is_used_where_its_tests_are(item, sound, faults):
    steps = {step.rpartition(".")[2] for step in bound()[item] - {"attest"}}
    used = {file: steps & attributes(file) for file in {node.partition("::")[0] for node in (*sound, *faults)}}
    assert all(used.values()), f"of these files one never touches {item}: {used}"
    assert set().union(*used.values()) == steps, f"the tests named for {item} do not touch all of its steps"
