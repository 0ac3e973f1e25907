// A batch into tables (see table_writer.hpp). First what may call users' code or wait is settled (numbers of resources,
// partitions); then rows and panes are written under one guard; then what users have hung on to it runs.
#include "telemetry/tables/table_writer.hpp"

#include "pg/as_superuser.hpp"
#include "pg/shared_memory.hpp"
#include "settings.hpp"
#include "telemetry/panes/pane_rules.hpp"
#include "telemetry/panes/pane_writer.hpp"
#include "telemetry/tables/batch_hooks.hpp"
#include "telemetry/tables/configuration.hpp"
#include "telemetry/tables/table_forms.hpp"
#include "telemetry/tables/table_rows.hpp"

extern "C" {
#include "access/xact.h"
#include "catalog/namespace.h"
#include "commands/sequence.h"
#include "tcop/utility.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
}

namespace dbnet::telemetry {
namespace {

const pg::Statement ensure_partitions{
    "SELECT otel.ensure_partitions(timestamptz '2000-01-01 00:00:00+00' OPERATOR(pg_catalog.+) ($1::pg_catalog.float8"
    " OPERATOR(pg_catalog.*) interval '1 microsecond'), timestamptz '2000-01-01 00:00:00+00' OPERATOR(pg_catalog.+)"
    " ($1::pg_catalog.float8 OPERATOR(pg_catalog.*) interval '1 microsecond'))"};

constexpr Instant nothing_missing = INT64_MIN;
constexpr int64_t minute_us = 60 * second_us;

// What is written of one batch, owned outside of the guards.
struct Work {
    explicit Work(const Batch &batch) noexcept : batch(batch) {}

    const Batch &batch;
    RowContext rows;
    Panes panes;
    Groupings groupings;
    PaneScratch scratch;
    std::vector<Instant> hours; // one instant of every hour into which something falls, ascending
};

// The tables that a batch needs, opened; in PostgreSQL's memory.
struct Tables {
    MemoryContext context = nullptr;
    PartitionedTable *batch = nullptr, *spans = nullptr, *span_events = nullptr, *span_links = nullptr,
                     *span_panes = nullptr, *number_points = nullptr, *histogram_points = nullptr,
                     *exponential_histogram_points = nullptr, *summary_points = nullptr, *logs = nullptr,
                     *log_panes = nullptr;

    template<class F> void each(F f) {
        for (PartitionedTable *table :
             {batch, spans, span_events, span_links, span_panes, number_points, histogram_points,
              exponential_histogram_points, summary_points, logs, log_panes})
            if (table != nullptr)
                f(*table);
    }
};
static_assert(std::is_trivially_destructible_v<PartitionedTable>);

// ---- the policy worker ----

bool is_written = false; // by the running transaction

extern "C" void dbnet_telemetry_at_end(XactEvent event, void *) {
    if (event == XACT_EVENT_COMMIT && is_written)
        pg::wake_worker(MyDatabaseId, pg::WorkerKind::policy);
    if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
        is_written = false;
}

void note_written() {
    static bool is_registered = false;
    if (!is_registered)
        RegisterXactCallback(dbnet_telemetry_at_end, nullptr);
    is_registered = is_written = true;
}

// ---- before ----

template<class Records, class TimeOf>
void place(const Records &records, const Placement &placement, std::vector<Instant> &buckets, TimeOf time_of,
           std::vector<Instant> &hours) {
    buckets.reserve(records.size());
    Instant hour = nothing_missing; // start of the last one
    for (const auto &record : records) {
        const Instant bucket = placement.place(time_of(record));
        buckets.push_back(bucket);
        if (hour == nothing_missing || bucket < hour || bucket >= hour + hour_us) {
            hour = bucket - bucket % hour_us;
            hours.push_back(bucket);
        }
    }
}

void place(Work &work) {
    const Batch &batch = work.batch;
    RowContext &rows = work.rows;
    const Instant now = rows.now;
    const Placement placement(now, settings::telemetry_retention * minute_us);
    work.hours.push_back(now);
    const auto point_time = [](const Point &point) { return point.time_unix_nano; };
    place(
        batch.spans, placement, rows.spans, [](const Span &span) { return time_of(span); }, work.hours);
    place(batch.number_points, placement, rows.number_points, point_time, work.hours);
    place(batch.histogram_points, placement, rows.histogram_points, point_time, work.hours);
    place(batch.exponential_histogram_points, placement, rows.exponential_histogram_points, point_time, work.hours);
    place(batch.summary_points, placement, rows.summary_points, point_time, work.hours);
    place(
        batch.log_records, placement, rows.log_records, [](const LogRecord &record) { return time_of(record); },
        work.hours);
    const auto hour_of = [](Instant instant) { return instant / hour_us; };
    std::sort(work.hours.begin(), work.hours.end());
    work.hours.erase(std::unique(work.hours.begin(), work.hours.end(),
                                 [&](Instant one, Instant other) { return hour_of(one) == hour_of(other); }),
                     work.hours.end());
}

// ---- rows, under the guard ----

PartitionedTable *open_table(const TableForm &form, RowMemory &memory, bool is_wanted, const Configuration &wishes) {
    return is_wanted ? new (palloc(sizeof(PartitionedTable))) PartitionedTable(form, memory, wishes.has_hook(form.name))
                     : nullptr;
}

void open(const Batch &batch, Tables &tables, RowMemory &memory, const Configuration &wishes) {
    tables.batch = open_table(batch_form, memory, !batch.requests.empty(), wishes);
    tables.spans = open_table(span_form, memory, !batch.spans.empty(), wishes);
    tables.span_events = open_table(span_event_form, memory, !batch.span_events.empty(), wishes);
    tables.span_links = open_table(span_link_form, memory, !batch.span_links.empty(), wishes);
    tables.span_panes = open_table(span_pane_form, memory, !batch.spans.empty(), wishes);
    tables.number_points = open_table(number_point_form, memory, !batch.number_points.empty(), wishes);
    tables.histogram_points = open_table(histogram_point_form, memory, !batch.histogram_points.empty(), wishes);
    tables.exponential_histogram_points =
        open_table(exponential_histogram_point_form, memory, !batch.exponential_histogram_points.empty(), wishes);
    tables.summary_points = open_table(summary_point_form, memory, !batch.summary_points.empty(), wishes);
    tables.logs = open_table(log_form, memory, !batch.log_records.empty(), wishes);
    tables.log_panes = open_table(log_pane_form, memory, !batch.log_records.empty(), wishes);
}

Instant first_missing(const Work &work, Tables &tables) {
    Instant missing = nothing_missing;
    for (const Instant hour : work.hours)
        tables.each([&](PartitionedTable &table) {
            if (missing == nothing_missing && table.partition_of(hour) == nullptr)
                missing = hour;
        });
    return missing;
}

void take_batch_ids(Work &work) {
    const Oid sequence = get_relname_relid("batch_id", get_namespace_oid("otel", false));
    for (int64_t &id : work.rows.batch_ids)
        id = nextval_internal(sequence, false);
}

// A table's rows, one of each record.
template<class Record, class Fill>
void write_all(PartitionedTable *table, const std::vector<Record> &records, RowMemory &memory, Fill fill_row,
               auto bucket_of) {
    for (size_t place = 0; place < records.size(); ++place) {
        Row row = table->begin(bucket_of(place));
        fill_row(row, place);
        table->add();
        if (memory.is_full()) {
            table->flush();
            memory.reset();
        }
    }
    if (table != nullptr) {
        table->flush();
        memory.reset();
    }
}

void write_rows(Work &work, Tables &tables, RowMemory &memory) {
    const Batch &batch = work.batch;
    const RowContext &rows = work.rows;
    const auto write_points = [&](PartitionedTable *table, const auto &points, const std::vector<Instant> &buckets) {
        write_all(
            table, points, memory, [&](Row &row, size_t place) { fill(row, points[place], rows); },
            [&](size_t place) { return buckets[place]; });
    };
    write_all(
        tables.batch, batch.requests, memory,
        [&](Row &row, size_t place) { fill(row, batch.requests[place], place, rows); },
        [&](size_t) { return rows.now; });
    write_points(tables.spans, batch.spans, rows.spans);
    write_all(
        tables.span_events, batch.span_events, memory,
        [&](Row &row, size_t place) {
            fill(row, batch.span_events[place], batch.spans[batch.span_events[place].span]);
        },
        [&](size_t place) { return rows.spans[batch.span_events[place].span]; });
    write_all(
        tables.span_links, batch.span_links, memory,
        [&](Row &row, size_t place) { fill(row, batch.span_links[place], batch.spans[batch.span_links[place].span]); },
        [&](size_t place) { return rows.spans[batch.span_links[place].span]; });
    write_points(tables.number_points, batch.number_points, rows.number_points);
    write_points(tables.histogram_points, batch.histogram_points, rows.histogram_points);
    write_points(tables.exponential_histogram_points, batch.exponential_histogram_points,
                 rows.exponential_histogram_points);
    write_points(tables.summary_points, batch.summary_points, rows.summary_points);
    write_points(tables.logs, batch.log_records, rows.log_records);
    CommandCounterIncrement();
    if (tables.span_panes != nullptr)
        write_span_panes(*tables.span_panes, work.panes.spans(), work.groupings, rows.ids.resources, work.scratch,
                         memory);
    if (tables.log_panes != nullptr)
        write_log_panes(*tables.log_panes, work.panes.logs(), work.groupings, rows.ids.resources);
    tables.each([](PartitionedTable &table) { table.flush(); });
    memory.reset();
}

void close(Tables &tables) {
    tables.each([](PartitionedTable &table) { table.close(); });
    MemoryContextDelete(tables.context);
    tables = {};
}

// Writes rows and panes and leaves the tables open. An instant for which a partition is missing: nothing was written,
// and nothing is open.
Instant write_rows(Work &work, Tables &tables, const Configuration &wishes) {
    tables.context =
        AllocSetContextCreateInternal(CurrentMemoryContext, "DBNet telemetry batch", ALLOCSET_DEFAULT_SIZES);
    const MemoryContext before = MemoryContextSwitchTo(tables.context);
    RowMemory memory(AllocSetContextCreateInternal(tables.context, "DBNet telemetry values", ALLOCSET_DEFAULT_SIZES));
    open(work.batch, tables, memory, wishes);
    const Instant missing = first_missing(work, tables);
    if (missing == nothing_missing) {
        take_batch_ids(work);
        write_rows(work, tables, memory);
        note_written();
    }
    MemoryContextSwitchTo(before);
    if (missing != nothing_missing)
        close(tables);
    return missing;
}

} // namespace

void write(Batch &batch) {
    pg::call([] {
        PreventCommandIfReadOnly("writing telemetry");
        PreventCommandIfParallelMode("writing telemetry");
    });
    Work work(batch);
    work.rows.now = GetCurrentTimestamp();
    work.rows.ids = find_dimensions(batch);
    work.rows.batch_ids.resize(batch.requests.size());
    place(work);
    work.panes.add(batch, work.rows.spans, work.rows.log_records);
    count_by_rules(batch, work.rows.spans, work.rows.log_records, work.panes, work.groupings);
    const Configuration &wishes = configuration();
    Tables tables;
    for (size_t made = 0;; ++made) {
        const Instant missing = pg::call([&] { return write_rows(work, tables, wishes); });
        if (missing == nothing_missing)
            break;
        if (made > work.hours.size())
            throw pg::error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "partitions of schema otel cannot be made");
        pg::as_superuser([&] { return pg::execute(ensure_partitions, static_cast<double>(missing)).rows(); });
    }
    tables.each([](PartitionedTable &table) { insert_left_rows(table); });
    tables.each([](PartitionedTable &table) { call_batch_hooks(table); });
    pg::call([&] { close(tables); });
}

} // namespace dbnet::telemetry
