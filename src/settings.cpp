// Definition of DBNet's settings (see settings.hpp). Check hooks parse only; they never touch a catalog, for they also
// run outside transactions.
#include "settings.hpp"

#include "gateway/http/listen_address.hpp"
#include "gateway/otlp/allowed_origins.hpp"
#include "pg/guard.hpp"
#include "provenance/hooks/traceparent.hpp"

extern "C" {
#include "utils/guc.h"
}

namespace dbnet::settings {
namespace {

constexpr int minutes_per_day = 24 * 60;

} // namespace

bool actuate = true;
int hold_objects = 50;
int hold_minimum = 10;
int hold_percent = 20;
char *respected_managers = nullptr;
int compare_interval = 600;
int lease_duration = 30;
int provenance_retention = 90 * minutes_per_day;
int actuation_retention = 30 * minutes_per_day;
int report_lock_timeout = 50;
int report_statement_timeout = 1000;
int requests_in_flight = 64;
char *exec_plugins = nullptr;
int exec_timeout = 30;
int capture_buffer_limit = 8192;
char *gateway_listen = nullptr;
bool gateway_require_token = false;
char *gateway_allowed_origins = nullptr;
char *gateway_certificate_file = nullptr;
char *gateway_key_file = nullptr;
char *gateway_client_ca_file = nullptr;
int gateway_body_limit = 65536;
char *api_listen = nullptr;
int api_sessions = 4;
int api_idle_timeout = 60;
int api_statement_timeout = 30'000;
int api_row_limit = 10'000;
int policy_action_workers = 4;
bool provenance = true;
int provenance_on_error = OnError::warning;
int provenance_buffer_limit = 16384;
char *traceparent = nullptr;
int telemetry_retention = 7 * minutes_per_day;
int telemetry_partition = Partition::day;

namespace {

// Field managers of the controllers that people run beside us: horizontal and vertical pod autoscaler, Argo CD, Flux,
// Helm.
constexpr const char *default_respected_managers =
    "kube-controller-manager, horizontal-pod-autoscaler, vpa-recommender, vpa-updater, vpa-admission-controller, "
    "argocd-controller, argocd-application-controller, kustomize-controller, helm-controller, helm";

std::string_view trimmed(std::string_view text) noexcept {
    constexpr const char *spaces = " \t\r\n";
    const size_t first = text.find_first_not_of(spaces);
    if (first == text.npos)
        return {};
    return text.substr(first, text.find_last_not_of(spaces) - first + 1);
}

// The next name of a comma separated list, taken off `rest`; `rest.data() == nullptr` afterwards means it was the last.
std::string_view next_name(std::string_view &rest) noexcept {
    const size_t comma = rest.find(',');
    const std::string_view name = trimmed(rest.substr(0, comma));
    rest = comma == rest.npos ? std::string_view() : rest.substr(comma + 1);
    return name;
}

extern "C" bool dbnet_check_name_list(char **value, void **, GucSource) {
    std::string_view rest = *value;
    if (trimmed(rest).empty())
        return true;
    while (rest.data() != nullptr) {
        if (next_name(rest).empty()) {
            GUC_check_errdetail("The list has an empty name. Separate field managers by single commas.");
            return false;
        }
    }
    return true;
}

std::vector<std::string> names_in(const char *list) {
    std::vector<std::string> names;
    std::string_view rest = list ? list : "";
    if (trimmed(rest).empty())
        return names;
    while (rest.data() != nullptr)
        names.emplace_back(next_name(rest));
    return names;
}

extern "C" bool dbnet_check_path_list(char **value, void **, GucSource) {
    std::string_view rest = *value;
    if (trimmed(rest).empty())
        return true;
    while (rest.data() != nullptr) {
        if (!next_name(rest).starts_with('/')) {
            GUC_check_errdetail("Programs are given by absolute paths, separated by commas.");
            return false;
        }
    }
    return true;
}

const config_enum_entry on_error_words[] = {
    {"warning", OnError::warning, false}, {"error", OnError::error, false}, {nullptr, 0, false}};

const config_enum_entry partition_words[] = {
    {"hour", Partition::hour, false}, {"day", Partition::day, false}, {nullptr, 0, false}};

extern "C" bool dbnet_check_traceparent(char **value, void **, GucSource) {
    if (**value == '\0' || provenance::is_traceparent(*value))
        return true;
    GUC_check_errdetail(
        "A trace context is written 00-<trace id, 32 digits>-<span id, 16 digits>-<flags, 2 digits>, in lower-case "
        "hexadecimal.");
    return false;
}

extern "C" bool dbnet_check_listen_address(char **value, void **, GucSource) {
    try {
        if (**value == '\0' || gateway::parse_listen_address(*value))
            return true;
    } catch (const std::bad_alloc &) {
        return false;
    }
    GUC_check_errdetail(
        "An address is written host:port, the host as a number or localhost: 127.0.0.1:4318, [::1]:4318.");
    return false;
}

extern "C" bool dbnet_check_origins(char **value, void **, GucSource) {
    const std::optional<std::string_view> bad = gateway::bad_origin_in(*value);
    if (!bad)
        return true;
    GUC_check_errdetail("\"%.*s\" is no origin.", static_cast<int>(bad->size()), bad->data());
    GUC_check_errhint(
        "An origin is written as browsers send it, scheme://host or scheme://host:port without a path and without the "
        "default port: https://shop.example, http://localhost:3000. https://*.shop.example, http://localhost:* and "
        "https://* are many, * alone is any. Separate them by commas.");
    return false;
}

void define_text(const char *name, const char *short_text, const char *long_text, char **variable, GucContext who,
                 GucStringCheckHook check) {
    DefineCustomStringVariable(name, short_text, long_text, variable, "", who, GUC_SUPERUSER_ONLY, check, nullptr,
                               nullptr);
}

void define_integer(const char *name, const char *short_text, const char *long_text, int *variable, int lowest,
                    int highest, GucContext who, int flags) {
    DefineCustomIntVariable(name, short_text, long_text, variable, *variable, lowest, highest, who, flags, nullptr,
                            nullptr, nullptr);
}

void define_all() {
    DefineCustomBoolVariable("dbnet.actuate", "Sends committed changes to devices.",
                             "Off: nothing is sent to any device; changes wait and go out when it is on again. "
                             "Checked before every request.",
                             &actuate, true, PGC_SIGHUP, 0, nullptr, nullptr, nullptr);
    define_integer("dbnet.hold_objects", "Number of objects above which changes wait for dbnet.approve().",
                   "Counted per transaction and per minute in each mirror, deletes and updates apart. The mirror "
                   "worker's value counts: set it in postgresql.conf, or with ALTER DATABASE for its next start.",
                   &hold_objects, 0, INT_MAX, PGC_SUSET, 0);
    define_integer("dbnet.hold_minimum", "Number of objects from which dbnet.hold_percent counts.", nullptr,
                   &hold_minimum, 0, INT_MAX, PGC_SUSET, 0);
    define_integer(
        "dbnet.hold_percent", "Percentage of a mirror's objects above which changes wait for dbnet.approve().",
        "Applies when at least dbnet.hold_minimum objects are concerned.", &hold_percent, 0, 100, PGC_SUSET, 0);
    DefineCustomStringVariable(
        "dbnet.respected_managers", "Field managers whose fields a first write does not take over.",
        "Comma separated names as in managedFields. A first write of a field that one of them "
        "owns ends in phase conflict.",
        &respected_managers, default_respected_managers, PGC_SUSET, 0, dbnet_check_name_list, nullptr, nullptr);
    define_integer("dbnet.compare_interval", "Time between two compares of all rows with the applied state.",
                   "0 compares only at start and when changes may have been missed.", &compare_interval, 0, 86400 * 7,
                   PGC_SIGHUP, GUC_UNIT_S);
    define_integer("dbnet.lease_duration",
                   "Time after which a server that has not renewed its lease lets another one write to the cluster.",
                   "A clone or promoted standby waits this long; the lease is renewed three times in it.",
                   &lease_duration, 3, 3600, PGC_SIGHUP, GUC_UNIT_S);
    define_integer("dbnet.provenance_retention", "Time for which it is kept who changed what.",
                   "From one day to 380; what is older goes in pieces of 25 days.", &provenance_retention,
                   minutes_per_day, 380 * minutes_per_day, PGC_SIGHUP, GUC_UNIT_MIN);
    define_integer("dbnet.actuation_retention", "Time for which calls to devices are kept.",
                   "From one day to 44; what is older goes in pieces of 6 days.", &actuation_retention, minutes_per_day,
                   44 * minutes_per_day, PGC_SIGHUP, GUC_UNIT_MIN);
    define_integer(
        "dbnet.report_lock_timeout", "Longest wait for a lock when a device's report is written into a table.",
        "Rows that are locked longer are written later.", &report_lock_timeout, 1, 60000, PGC_SIGHUP, GUC_UNIT_MS);
    define_integer("dbnet.report_statement_timeout",
                   "Longest time that triggers and constraints of a table may take for a batch of reports.",
                   "Rows that take longer are written without the table's own triggers.", &report_statement_timeout, 1,
                   600000, PGC_SIGHUP, GUC_UNIT_MS);
    define_integer("dbnet.requests_in_flight",
                   "Requests that a mirror worker has open at the same time with one server.", nullptr,
                   &requests_in_flight, 1, 1024, PGC_SIGHUP, 0);
    define_text("dbnet.exec_plugins", "Programs that a kubeconfig may ask for credentials (exec).",
                "Absolute paths, separated by commas; empty: none. They run as the operating system's user of the "
                "server, for servers that belong to a superuser.",
                &exec_plugins, PGC_SIGHUP, dbnet_check_path_list);
    define_integer("dbnet.exec_timeout", "Longest time that a program of dbnet.exec_plugins may take.",
                   "It is killed then, with all that it has started.", &exec_timeout, 1, 600, PGC_SIGHUP, GUC_UNIT_S);
    define_integer("dbnet.capture_buffer_limit", "Memory for the changes that one transaction makes to mirrors.",
                   "A transaction with more changes makes the worker compare its mirrors instead.",
                   &capture_buffer_limit, 64, 1024 * 1024, PGC_SIGHUP, GUC_UNIT_KB);
    define_text("dbnet.gateway_listen", "Address at which the database takes OpenTelemetry data (OTLP/HTTP).",
                "host:port; empty: none. Set it for one database: ALTER DATABASE ... SET. Beyond loopback it needs "
                "dbnet.gateway_certificate_file, and senders need a token.",
                &gateway_listen, PGC_SUSET, dbnet_check_listen_address);
    DefineCustomBoolVariable("dbnet.gateway_require_token", "Takes no OpenTelemetry data without a token.",
                             "Beyond loopback it never does. Metrics are not told without one either.",
                             &gateway_require_token, false, PGC_SUSET, 0, nullptr, nullptr, nullptr);
    define_text("dbnet.gateway_allowed_origins", "Origins of web pages that may send OpenTelemetry data (CORS).",
                "As browsers send them, separated by commas: https://shop.example; * alone: any; empty: none.",
                &gateway_allowed_origins, PGC_SUSET, dbnet_check_origins);
    define_text("dbnet.gateway_certificate_file", "Certificate of DBNet's listeners (PEM, with its chain).",
                "Empty: plain HTTP.", &gateway_certificate_file, PGC_SIGHUP, nullptr);
    define_text("dbnet.gateway_key_file", "Private key to dbnet.gateway_certificate_file (PEM).", nullptr,
                &gateway_key_file, PGC_SIGHUP, nullptr);
    define_text("dbnet.gateway_client_ca_file", "Certificates of those who sign certificates of clients (PEM).",
                "Set: who has no such certificate is refused.", &gateway_client_ca_file, PGC_SIGHUP, nullptr);
    define_integer("dbnet.gateway_body_limit", "Largest body of a request to DBNet's listeners.",
                   "Counts before and after it is unpacked.", &gateway_body_limit, 64, 1024 * 1024, PGC_SIGHUP,
                   GUC_UNIT_KB);
    define_text("dbnet.api_listen", "Address at which the database serves its client API (HTTP).",
                "host:port; empty: none. Set it for one database: ALTER DATABASE ... SET.", &api_listen, PGC_SUSET,
                dbnet_check_listen_address);
    define_integer("dbnet.api_sessions", "Processes that serve requests of the client API, at most.",
                   "Each serves one role at a time and takes one of max_worker_processes. More requests wait.",
                   &api_sessions, 1, 256, PGC_SIGHUP, 0);
    define_integer("dbnet.api_idle_timeout", "Time after which a process of the client API without requests ends.",
                   nullptr, &api_idle_timeout, 1, 86400, PGC_SIGHUP, GUC_UNIT_S);
    define_integer("dbnet.api_statement_timeout", "Longest time that a request to the client API may take.",
                   "A shorter statement_timeout of the role counts.", &api_statement_timeout, 1, 86'400'000, PGC_SIGHUP,
                   GUC_UNIT_MS);
    define_integer("dbnet.api_row_limit", "Rows that a query of the client API answers at most.",
                   "What is cut off is told by \"truncated\".", &api_row_limit, 1, INT_MAX, PGC_SIGHUP, 0);
    define_integer("dbnet.policy_action_workers", "Processes that run actions of policies in a database, at most.",
                   "Each takes one of max_worker_processes; one of them stays, others come and go as they are needed.",
                   &policy_action_workers, 1, 64, PGC_SIGHUP, 0);
    DefineCustomBoolVariable("dbnet.provenance", "Records who changed what, and why.",
                             "Off: this session's changes are missing in dbnet.why() and dbnet.history(); dbnet.gaps() "
                             "tells of them.",
                             &provenance, true, PGC_SUSET, 0, nullptr, nullptr, nullptr);
    DefineCustomEnumVariable("dbnet.provenance_on_error", "What becomes of a change that cannot be recorded.",
                             "warning: it is made, with a WARNING; error: its transaction fails.", &provenance_on_error,
                             OnError::warning, on_error_words, PGC_SUSET, 0, nullptr, nullptr, nullptr);
    define_integer("dbnet.provenance_buffer_limit", "Memory for what is to go on record of one transaction.",
                   "A transaction that changes more is written in parts as it goes on.", &provenance_buffer_limit, 64,
                   1024 * 1024, PGC_SUSET, GUC_UNIT_KB);
    DefineCustomStringVariable(
        "dbnet.traceparent", "W3C trace context of what the session does.",
        "Goes on record with each transaction; a comment /*traceparent='...'*/ in a statement does the "
        "same for one transaction.",
        &traceparent, "", PGC_USERSET, 0, dbnet_check_traceparent, nullptr, nullptr);
    define_integer("dbnet.telemetry_retention", "Time for which telemetry is kept.",
                   "What is older goes in partitions, see dbnet.telemetry_partition.", &telemetry_retention, 60,
                   3650 * minutes_per_day, PGC_SIGHUP, GUC_UNIT_MIN);
    DefineCustomEnumVariable("dbnet.telemetry_partition", "How much time a partition of telemetry spans.",
                             "Applies to partitions that are made from then on.", &telemetry_partition, Partition::day,
                             partition_words, PGC_SIGHUP, 0, nullptr, nullptr, nullptr);
    MarkGUCPrefixReserved("dbnet");
}

} // namespace

void define() {
    pg::call(define_all);
}

std::vector<std::string> respected_manager_list() {
    return names_in(respected_managers);
}

std::vector<std::string> exec_plugin_list() {
    return names_in(exec_plugins);
}

} // namespace dbnet::settings
