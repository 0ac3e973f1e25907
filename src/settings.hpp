// Every setting (GUC) of DBNet. Read in every process; the values are plain variables that PostgreSQL changes.
#pragma once

#include <string>
#include <vector>

namespace dbnet::settings {

extern bool actuate;             // dbnet.actuate: false sends nothing to any device (configuration file)
extern int hold_objects;         // dbnet.hold_objects: objects per transaction or minute above which changes are held
extern int hold_minimum;         // dbnet.hold_minimum: objects from which hold_percent counts
extern int hold_percent;         // dbnet.hold_percent: percent of a mirror's objects above which changes are held
extern char *respected_managers; // dbnet.respected_managers: as written; use respected_manager_list()
extern int compare_interval; // dbnet.compare_interval: seconds between two compares of all rows, 0 = only when needed
extern int lease_duration;   // dbnet.lease_duration: seconds
extern int provenance_retention;     // dbnet.provenance_retention: minutes
extern int actuation_retention;      // dbnet.actuation_retention: minutes
extern int report_lock_timeout;      // dbnet.report_lock_timeout: ms
extern int report_statement_timeout; // dbnet.report_statement_timeout: ms
extern int requests_in_flight;       // dbnet.requests_in_flight: per server
extern char *exec_plugins;           // dbnet.exec_plugins: as written; use exec_plugin_list()
extern int exec_timeout;             // dbnet.exec_timeout: s that a credential program may take
extern int capture_buffer_limit; // dbnet.capture_buffer_limit: kB per transaction, above: "compare the mirror" instead

extern char *gateway_listen;           // dbnet.gateway_listen: host:port of the OTLP receiver, empty: none
extern bool gateway_require_token;     // dbnet.gateway_require_token: of senders, also on loopback
extern char *gateway_allowed_origins;  // dbnet.gateway_allowed_origins: whose pages may send (CORS), empty: nobody's
extern char *gateway_certificate_file; // dbnet.gateway_certificate_file: PEM, of both listeners; empty: no TLS
extern char *gateway_key_file;         // dbnet.gateway_key_file: PEM
extern char *gateway_client_ca_file;   // dbnet.gateway_client_ca_file: PEM; set: clients must have a certificate of it
extern int gateway_body_limit;         // dbnet.gateway_body_limit: kB of a request's body, also when it is unpacked
extern char *api_listen;               // dbnet.api_listen: host:port of the client API, empty: none
extern int api_sessions;               // dbnet.api_sessions: processes that serve requests of the client API, at most
extern int api_idle_timeout;           // dbnet.api_idle_timeout: s
extern int api_statement_timeout;      // dbnet.api_statement_timeout: ms of a request
extern int api_row_limit;              // dbnet.api_row_limit: rows that a query answers
extern int policy_action_workers;      // dbnet.policy_action_workers: processes that run actions of policies, at most

extern bool provenance;             // dbnet.provenance: false records nothing in this session (superusers)
extern int provenance_on_error;     // dbnet.provenance_on_error: one of OnError
extern int provenance_buffer_limit; // dbnet.provenance_buffer_limit: kB per transaction, above: it is written in parts
extern char *traceparent;           // dbnet.traceparent: W3C trace context of what the session does; empty: none

extern int telemetry_retention; // dbnet.telemetry_retention: minutes
extern int telemetry_partition; // dbnet.telemetry_partition: one of Partition

// How much time a partition of telemetry spans.
namespace Partition {
inline constexpr int hour = 0, day = 1;
}

// What becomes of a change whose provenance cannot be recorded.
namespace OnError {
inline constexpr int warning = 0, error = 1;
}

// Defines them; called once from _PG_init.
void define();

// The names in dbnet.respected_managers, in order.
std::vector<std::string> respected_manager_list();

// The absolute paths in dbnet.exec_plugins, in order.
std::vector<std::string> exec_plugin_list();

} // namespace dbnet::settings
