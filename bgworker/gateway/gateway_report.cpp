// Families of /metrics that are read from the database (see gateway_report.hpp). Each is cheap, however much there is.
#include "bgworker/gateway/gateway_report.hpp"

#include "kubernetes/watch.hpp"
#include "pg/shared_counters.hpp"
#include "pg/shared_memory.hpp"
#include "pg/spi.hpp"

namespace dbnet::bgworker {
namespace {

using gateway::DurationHistogram;
using gateway::MetricsText;

const pg::Statement newest_call{"SELECT max(id) FROM dbnet.actuation"};
const pg::Statement select_calls{
    "SELECT max(id), operation, coalesce(http_status::text, 'none'), count(*), sum(latency_ms) / 1000,"
    " pg_catalog.width_bucket(latency_ms / 1000, $2::double precision[])"
    " FROM dbnet.actuation WHERE id > $1 GROUP BY 2, 3, 6"};
const pg::Statement select_workers{"SELECT process, (state = 'running')::integer, restarts, lag FROM dbnet.worker"};
const pg::Statement select_mirrors{"SELECT relation::text, (state = 'synced')::integer, coalesce(listed, 0),"
                                   " extract(epoch FROM last_event_at)::bigint, coalesce(repaired, 0)"
                                   " FROM dbnet.current_mirror_state ORDER BY 1"};
const pg::Statement select_held{"SELECT count(*) FROM dbnet.held_change WHERE decision IS NULL"};

std::string bounds_as_array() {
    std::string text;
    for (const double bound : duration_bounds)
        (text += text.empty() ? '{' : ',') += std::to_string(bound);
    return text + '}';
}

DurationHistogram histogram_of(pg::SharedDurations &shared) {
    DurationHistogram histogram;
    for (size_t bucket = 0; bucket < std::size(shared.counts); bucket++)
        histogram.add(bucket, pg_atomic_read_u64(&shared.counts[bucket]), 0);
    histogram.add(0, 0, static_cast<double>(pg_atomic_read_u64(&shared.nanoseconds)) / 1e9);
    return histogram;
}

void write_counters(pg::SharedCounters &counters, MetricsText &text) {
    const auto count = [](pg_atomic_uint64 &counter) { return static_cast<double>(pg_atomic_read_u64(&counter)); };
    using Type = kubernetes::Event::Type;
    constexpr std::pair<const char *, Type> types[] = {{"added", Type::added},
                                                       {"modified", Type::modified},
                                                       {"deleted", Type::removed},
                                                       {"bookmark", Type::bookmark},
                                                       {"error", Type::error}};
    text.family("dbnet_watch_events_total", "counter", "Events that watches of mirrors brought, by type.");
    for (const auto &[name, type] : types)
        text.sample({"type", name}, count(counters.watch_events[static_cast<size_t>(type)]));
    text.family("dbnet_watch_record_duration_seconds", "histogram",
                "From an object's event, or the first of several that wait, to the commit that records it.");
    text.histogram({}, histogram_of(counters.watch_records));
    constexpr std::pair<const char *, pg::EventResult> results[] = {{"written", pg::EventResult::written},
                                                                    {"failed", pg::EventResult::failed},
                                                                    {"dropped", pg::EventResult::dropped}};
    text.family(
        "dbnet_kubernetes_events_total", "counter",
        "Kubernetes Events about objects: written, failed (refused, not answered), dropped (too many, not allowed).");
    for (const auto &[name, result] : results)
        text.sample({"result", name}, count(counters.events[static_cast<size_t>(result)]));
    text.family("dbnet_provenance_events_total", "counter", "Events of provenance written.");
    text.sample({}, count(counters.provenance_events));
    text.family("dbnet_provenance_write_duration_seconds", "histogram",
                "Time that a transaction took to write its events of provenance.");
    text.histogram({}, histogram_of(counters.provenance_writes));
}

void write_workers(MetricsText &text) {
    const pg::Result workers = pg::execute(select_workers);
    const auto write = [&](const char *name, const char *type, const char *help, size_t column) {
        text.family(name, type, help);
        for (size_t row = 0; row < workers.rows(); row++)
            if (workers.at(row, column))
                text.sample({"process", workers.text(row, 0)}, static_cast<double>(workers.integer(row, column)));
    };
    write("dbnet_worker_up", "gauge", "1: the process runs.", 1);
    write("dbnet_worker_restarts_total", "counter", "Starts of the process after its first.", 2);
    write("dbnet_worker_lag_bytes", "gauge", "WAL between the newest change of a mirror and the last one decided.", 3);
}

void write_mirrors(MetricsText &text) {
    const pg::Result mirrors = pg::execute(select_mirrors);
    const auto write = [&](const char *name, const char *help, size_t column, const char *type = "gauge") {
        text.family(name, type, help);
        for (size_t row = 0; row < mirrors.rows(); row++)
            if (mirrors.at(row, column))
                text.sample({"relation", mirrors.text(row, 0)}, static_cast<double>(mirrors.integer(row, column)));
    };
    write("dbnet_mirror_up", "1: the mirror is in step with its server.", 1);
    write("dbnet_mirror_listed_objects", "Objects seen by the running or last list.", 2);
    write("dbnet_mirror_last_event_timestamp_seconds", "Last sign of life of the mirror's watch.", 3);
    write("dbnet_watch_drift_repaired_total",
          "Objects whose changes the watch missed, or told late, and a compare found.", 4, "counter");
    text.family("dbnet_held_changes", "gauge", "Changes that wait for dbnet.approve or dbnet.reject.");
    text.sample({}, static_cast<double>(pg::execute(select_held).integer(0, 0)));
}

} // namespace

void GatewayReport::start() {
    pg::in_transaction([this] { last_call_ = pg::execute(newest_call).integer(0, 0); });
}

void GatewayReport::write(MetricsText &text) {
    pg::in_transaction([&] {
        write_workers(text);
        write_mirrors(text);
        count_calls();
    });
    text.family("dbnet_actuations_total", "counter",
                "Calls that were to change a device, by operation and HTTP status.");
    for (const auto &[labels, calls] : calls_)
        text.sample({"operation", labels.first, "status", labels.second}, static_cast<double>(calls.count));
    text.family("dbnet_actuation_duration_seconds", "histogram", "From a call to its answer.");
    for (const auto &[labels, calls] : calls_)
        text.histogram({"operation", labels.first, "status", labels.second}, calls.durations);
    if (pg::SharedCounters *counters = pg::find_counters(MyDatabaseId))
        write_counters(*counters, text);
    text.family("dbnet_provenance_failures_total", "counter",
                "What could not be recorded since the server's start, in all databases.");
    text.sample({}, static_cast<double>(pg_atomic_read_u64(&pg::require_shared().provenance_failures)));
}

void GatewayReport::count_calls() {
    const pg::Result found = pg::execute(select_calls, static_cast<int64>(last_call_), bounds_as_array());
    for (size_t row = 0; row < found.rows(); row++) {
        last_call_ = std::max<long>(last_call_, found.integer(row, 0));
        Calls &calls = calls_[{std::string(found.text(row, 1)), std::string(found.text(row, 2))}];
        const auto count = static_cast<uint64_t>(found.integer(row, 3));
        calls.count += count;
        if (!found.at(row, 5))
            continue; // no latency
        calls.durations.add(static_cast<size_t>(found.integer(row, 5)), count, strtod(found.at(row, 4), nullptr));
    }
}

} // namespace dbnet::bgworker
