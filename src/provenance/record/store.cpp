// Records into tables (see store.hpp). Backends; inside pg::call.
#include "provenance/record/store.hpp"

#include "pg/guard.hpp"
#include "provenance/hooks/function_info.hpp"
#include "provenance/hooks/remote_client.hpp"
#include "provenance/record/own_heap.hpp"
#include "provenance/record/own_tables.hpp"
#include "settings.hpp"

#include <optional>

extern "C" {
#include "access/genam.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "postmaster/bgworker.h"
#include "replication/origin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
}

namespace dbnet::provenance {
namespace {

// Columns of the tables, as sql/08_provenance.sql makes them.
constexpr Oid session_types[] = {INT8OID, TEXTOID, TEXTOID, TEXTOID, INETOID, INT4OID, INT4OID, TIMESTAMPTZOID};
constexpr Oid code_types[] = {INT8OID, TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID};
constexpr Oid activity_types[] = {INT8OID, INT8OID, CHAROID,  INT8OID,  INT8OID, TEXTOID,        INT4OID, TEXTOID,
                                  INT4OID, TEXTOID, JSONBOID, JSONBOID, INT8OID, TIMESTAMPTZOID, INT8OID, INT8OID,
                                  CHAROID, INT4OID, XID8OID,  INT8OID,  TEXTOID, TIMESTAMPTZOID, INT8OID, TEXTOID,
                                  TEXTOID, TEXTOID, TEXTOID,  INT4OID,  BYTEAOID};
constexpr Oid version_types[] = {INT8OID,  INT8OID,  INT4OID, INT8OID, JSONBOID, CHAROID,
                                 JSONBOID, JSONBOID, INT8OID, INT8OID, XIDOID,   INT4OID};
constexpr Oid use_types[] = {INT8OID, INT8OID, INT4OID, JSONBOID, INT8OID, INT4OID};

template<size_t columns> OwnRow row_of(const Oid (&)[columns]) {
    return OwnRow(columns);
}

std::string_view bytes_of(const Sha256::Digest &digest) noexcept {
    return {reinterpret_cast<const char *>(digest.data()), digest.size()};
}

// ---- the session ----

struct Session {
    EventId id = 0;         // 0: not on record
    Oid table = InvalidOid; // that has it: the extension may be made anew
    Oid user = InvalidOid;
    char application[NAMEDATALEN]{};
    RemoteClient remote;
    Sha256::Digest digest{};
};
Session session;       // on record
Session session_to_be; // written by the running transaction

const char *name_of_process() {
    return MyBgworkerEntry != nullptr && MyBackendType == B_BG_WORKER ? MyBgworkerEntry->bgw_type
                                                                      : GetBackendTypeDesc(MyBackendType);
}

Datum client(PGFunction function, bool &is_null) {
    LOCAL_FCINFO(call, 0);
    InitFunctionCallInfoData(*call, nullptr, 0, InvalidOid, nullptr, nullptr);
    const Datum value = MyProcPort != nullptr ? function(call) : Datum{0};
    is_null = MyProcPort == nullptr || call->isnull;
    return value;
}

// The session's line, written when there is none yet, when it would say something else, and when it is a day old.
const Session &session_on_record(EventId transaction, Oid user) {
    const bool is_remote = *remote_client.address != '\0';
    const char *application = is_remote                     ? remote_client.application
                              : application_name != nullptr ? application_name
                                                            : "";
    const Oid table = own_table(OwnTable::session);
    if (!OidIsValid(table))
        throw pg::error(ERRCODE_UNDEFINED_TABLE, "table dbnet.session is not there");
    if (session.table == table && session.user == user && is_fresh(session.id, transaction, session_interval) &&
        strncmp(session.application, application, NAMEDATALEN - 1) == 0 &&
        strcmp(session.remote.address, remote_client.address) == 0)
        return session;
    session_to_be = Session{};
    session_to_be.id = transaction;
    session_to_be.table = table;
    session_to_be.user = user;
    strlcpy(session_to_be.application, application, NAMEDATALEN);
    session_to_be.remote = remote_client;
    const char *name = GetUserNameFromId(user, true);
    bool has_no_address = true, has_no_port = true;
    Datum address = client(inet_client_addr, has_no_address);
    const Datum port = client(inet_client_port, has_no_port);
    if (is_remote) {
        address = DirectFunctionCall1(inet_in, CStringGetDatum(remote_client.address));
        has_no_address = false;
    }
    OwnRow row = row_of(session_types);
    row.add(transaction);
    row.add(name_of_process());
    row.add(name != nullptr ? name : "");
    row.add(application);
    has_no_address ? row.null() : row.add_variable(address);
    row.add_integer_if(DatumGetInt32(port), !has_no_port);
    row.add_integer(MyProcPid);
    row.add(MyStartTimestamp);
    OwnHeap heap(table, session_types);
    session_to_be.digest = row.seal();
    heap.insert(row);
    heap.close();
    return session_to_be;
}

// ---- sources ----

struct StoredSource {
    FunctionInfo *function;
    const FunctionVersion *version;
    Oid table;
    EventId event;
    StoredSource *next;
};
StoredSource *stored_sources = nullptr; // by the running transaction; in its memory

// The lines of a source: one, or some, as two sessions that see it first may write one each. `seen_at` is an event's
// time, not the clock's, which may have been set back.
struct SourceLines {
    static constexpr int most_old = 4;
    bool is_fresh = false;
    int old_count = 0;
    ItemPointerData old[most_old];
};

SourceLines find_source(Oid table, int64 code, EventId transaction) {
    SourceLines lines;
    const Oid index = get_relname_relid("code_id", own_schema());
    const Relation codes = table_open(table, AccessShareLock);
    ScanKeyData key;
    ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(code));
    const SysScanDesc scan = systable_beginscan(codes, index, OidIsValid(index), nullptr, 1, &key);
    const bool is_as_made = RelationGetDescr(codes)->natts == std::ssize(code_types); // OwnHeap will say so if not
    while (const HeapTuple line = is_as_made ? systable_getnext(scan) : nullptr) {
        bool is_null = true;
        const Datum seen_at = heap_getattr(line, std::size(code_types), RelationGetDescr(codes), &is_null);
        if (!is_null && is_fresh(first_event(DatumGetTimestampTz(seen_at)), transaction, source_interval))
            lines.is_fresh = true;
        else if (lines.old_count < SourceLines::most_old)
            lines.old[lines.old_count++] = line->t_self;
    }
    systable_endscan(scan);
    table_close(codes, AccessShareLock);
    return lines;
}

// In the place of the old lines, but for those that another session is about to replace as well.
void write_source(Oid table, const FunctionVersion &version, SourceLines &lines, EventId transaction) {
    OwnRow row = row_of(code_types);
    row.add(version.code);
    row.add(version.name);
    row.add(version.language);
    row.add(version.source);
    row.add(static_cast<TimestampTz>(tick_of(transaction)));
    OwnHeap heap(table, code_types);
    heap.insert(row);
    heap.finish();
    for (int place = 0; place < lines.old_count; ++place)
        heap.remove(lines.old[place]);
    heap.close();
}

void store_source(FunctionInfo &function, const FunctionVersion &version, EventId transaction) {
    const bool may_be_stored = &version == function.version && OidIsValid(function.stored_in) &&
                               is_fresh(function.stored_at, transaction, source_interval);
    if (may_be_stored && function.stored_in == own_table_if_known(OwnTable::code))
        return;
    const Oid table = own_table(OwnTable::code);
    if (!OidIsValid(table) || (may_be_stored && function.stored_in == table))
        return;
    for (const StoredSource *stored = stored_sources; stored != nullptr; stored = stored->next)
        if (stored->version == &version)
            return;
    PushActiveSnapshot(GetTransactionSnapshot()); // no place of an old line is used anew before that is removed
    try {
        SourceLines lines = find_source(table, version.code, transaction);
        if (!lines.is_fresh)
            write_source(table, version, lines, transaction);
    } catch (const pg::error &) {
        PopActiveSnapshot();
        throw;
    }
    PopActiveSnapshot();
    auto *stored = static_cast<StoredSource *>(MemoryContextAlloc(TopTransactionContext, sizeof(StoredSource)));
    *stored = {&function, &version, table, transaction, stored_sources};
    stored_sources = stored;
}

// ---- events ----

EventId activity_event(RecordNumber activity, EventId event) noexcept {
    return activity != 0 ? event_of(activity) : event;
}

// In one transaction statements may be another role's, or another user's: those say so themselves.
const Jsonb *detail_of(const Activity &activity, const Activity &first) {
    JsonbField fields[2];
    int count = 0;
    const auto add = [&](const char *name, Oid role) {
        const char *role_name = GetUserNameFromId(role, true);
        fields[count].name = name;
        fields[count++].set(std::string_view(role_name != nullptr ? role_name : ""));
    };
    if (activity.outer_role != first.outer_role)
        add("outer_role", activity.outer_role);
    if (activity.session_user != first.session_user)
        add("session_user", activity.session_user);
    if (count == 0)
        return activity.detail;
    const Jsonb *who = make_object(fields, count);
    return activity.detail == nullptr ? who
                                      : DatumGetJsonbP(DirectFunctionCall2(
                                            jsonb_concat, JsonbPGetDatum(activity.detail), JsonbPGetDatum(who)));
}

void fill_activity(OwnRow &row, const Record &record, EventId transaction, const Activity &first) {
    const Activity &activity = record.activity;
    const EventId parent = activity_event(activity.parent, activity.parent_event);
    const EventId started_by = event_of(activity.started_by);
    row.add(record.event);
    row.add(transaction);
    row.add(static_cast<char>(activity.kind));
    row.add_if(parent, parent != 0);
    row.add_if(started_by, started_by != 0);
    row.add(activity.kind == ActivityKind::report ? "device report" : activity.name);
    row.add_integer_if(activity.relation, activity.relation != 0);
    row.add(activity.role);
    row.add_integer_if(activity.line, activity.line > 0);
    if (activity.text == nullptr || activity.is_withheld || activity.kind == ActivityKind::report)
        row.null();
    else
        row.add(std::string_view(activity.text, activity.text_length));
    row.add(activity.is_withheld ? nullptr : activity.arguments);
    row.add(detail_of(activity, first));
    row.add_if(activity.version != nullptr ? activity.version->code : 0, activity.version != nullptr);
    row.add(activity.started_at);
    row.add_if(activity.duration, activity.duration >= 0);
    row.add_if(activity.rows, activity.rows >= 0);
    row.add(static_cast<char>(activity.status));
    row.add_checksum();
}

void fill_version(OwnRow &row, const Record &record) {
    const Version &version = record.version;
    const EventId pair = event_of(version.pair);
    row.add(record.event);
    row.add(activity_event(version.activity, version.activity_event));
    row.add_integer(version.relation);
    row.add(version.key_hash);
    row.add(version.key);
    row.add(version.operation);
    row.add(version.old_row);
    row.add(version.new_row);
    row.add_if(version.cause, version.cause != 0);
    row.add_if(pair, pair != 0);
    row.add_transaction_id(version.row_transaction);
}

void fill_use(OwnRow &row, const Record &record) {
    const Use &use = record.use;
    const EventId version = use.version != 0 ? event_of(use.version) : use.version_event;
    row.add(record.event);
    row.add(activity_event(use.activity, use.activity_event));
    row.add_integer(use.relation);
    row.add(use.key);
    row.add_if(version, version != 0);
}

// What is true of the whole transaction; the root comes last.
void fill_transaction(OwnRow &row, const Activity &first, uint32 count, const Session &who) {
    const TransactionNote &note = transaction_note();
    const char *traceparent =
        settings::traceparent != nullptr && settings::traceparent[0] != '\0' ? settings::traceparent : note.traceparent;
    char *origin = nullptr;
    if (replorigin_session_origin != InvalidRepOriginId && replorigin_session_origin != DoNotReplicateId)
        replorigin_by_oid(replorigin_session_origin, true, &origin);
    const TimestampTz started_at = GetCurrentTransactionStartTimestamp();
    row.add(static_cast<int64>(U64FromFullTransactionId(GetTopFullTransactionId())));
    row.add(who.id);
    row.add(first.outer_role == first.role_id ? nullptr : GetUserNameFromId(first.outer_role, true));
    row.add_if(started_at, started_at != first.started_at);
    const EventId cause = first_part() != 0 ? first_part() : note.cause;
    row.add_if(cause, cause != 0);
    row.add(note.reason);
    row.add(traceparent);
    row.add(origin);
    row.add(note.prepared_as);
    row.add_integer(static_cast<int32>(count));
}

void no_transaction(OwnRow &row) {
    constexpr int columns = 10;
    for (int column = 0; column < columns; ++column)
        row.null();
    row.no_root();
}

// What a flush writes, counted beforehand: every table is opened, and found to be fit, before the first row goes in.
struct Amount {
    bool versions = false, uses = false;
};

Amount amount() noexcept {
    Amount found;
    for (RecordNumber number = first_unwritten(); number <= record_count(); ++number) {
        const Record &record = record_at(number);
        found.versions |= record.event != 0 && record.kind == Record::Kind::version;
        found.uses |= record.event != 0 && record.kind == Record::Kind::use;
    }
    return found;
}

void seal(OwnRow &row, Sha256 &root) {
    root.add(bytes_of(row.seal()));
}

// Numbers of the records in the order of their events, which is not always that of recording.
const RecordNumber *in_order(EventId transaction, uint32 count) {
    auto *order = static_cast<RecordNumber *>(palloc_extended(sizeof(RecordNumber) * count, MCXT_ALLOC_HUGE));
    for (RecordNumber number = first_unwritten(); number <= record_count(); ++number)
        if (const EventId event = record_at(number).event; event != 0)
            order[event - transaction] = number;
    return order;
}

// The first activity is left for the end: it takes the root.
OwnRow write_activities(OwnHeap &heap, const RecordNumber *order, uint32 count, EventId transaction, const Session &who,
                        Sha256 &root) {
    OwnRow first = row_of(activity_types);
    const Activity &first_activity = record_at(order[0]).activity;
    for (uint32 place = 0; place < count; ++place) {
        const Record &record = record_at(order[place]);
        if (record.kind != Record::Kind::activity)
            continue;
        if (record.event == transaction) {
            fill_activity(first, record, transaction, first_activity);
            fill_transaction(first, record.activity, count, who);
            seal(first, root);
        } else {
            OwnRow row = row_of(activity_types);
            fill_activity(row, record, transaction, first_activity);
            no_transaction(row);
            seal(row, root);
            heap.insert(row);
        }
    }
    return first;
}

template<size_t columns, class F>
void write_others(OwnHeap &heap, const Oid (&types)[columns], const RecordNumber *order, uint32 count,
                  Record::Kind kind, Sha256 &root, F fill) {
    for (uint32 place = 0; place < count; ++place) {
        const Record &record = record_at(order[place]);
        if (record.kind != kind)
            continue;
        OwnRow row = row_of(types);
        fill(row, record);
        row.add_checksum();
        seal(row, root);
        heap.insert(row);
    }
}

} // namespace

// The root takes in the hash of the session's line, then those of activities, versions and uses. It stands on the first
// activity, which is therefore written last.
void store(EventId transaction, uint32 count) {
    const Oid activities = partition_of(EventTable::activity, transaction);
    if (!OidIsValid(activities) && !OidIsValid(own_table(OwnTable::code)))
        return; // the transaction has dropped the extension
    static const MemoryContext context = lasting_context("DBNet provenance rows");
    MemoryContextReset(context); // of what an error has left
    const MemoryContext before = MemoryContextSwitchTo(context);
    const Amount found = amount();
    OwnHeap activity_heap(activities, activity_types);
    std::optional<OwnHeap> version_heap, use_heap;
    const auto close_all = [&] {
        activity_heap.close();
        if (version_heap)
            version_heap->close();
        if (use_heap)
            use_heap->close();
        MemoryContextSwitchTo(before);
        MemoryContextReset(context);
    };
    const RecordNumber *order = in_order(transaction, count);
    const Session *who = nullptr;
    try {
        if (found.versions)
            version_heap.emplace(partition_of(EventTable::entity_version, transaction), version_types);
        if (found.uses)
            use_heap.emplace(own_table(OwnTable::used_version), use_types);
        for (RecordNumber number = first_unwritten(); number <= record_count(); ++number) {
            const Record &record = record_at(number);
            if (record.kind == Record::Kind::activity && record.event != 0 && record.activity.function != nullptr)
                store_source(*record.activity.function, *record.activity.version, transaction);
        }
        who = &session_on_record(transaction, record_at(order[0]).activity.session_user);
    } catch (const pg::error &) {
        close_all();
        throw;
    }
    Sha256 root;
    root.add(bytes_of(who->digest));
    OwnRow first = write_activities(activity_heap, order, count, transaction, *who, root);
    if (version_heap)
        write_others(*version_heap, version_types, order, count, Record::Kind::version, root, fill_version);
    if (use_heap)
        write_others(*use_heap, use_types, order, count, Record::Kind::use, root, fill_use);
    first.add_root(bytes_of(root.digest()));
    activity_heap.insert(first);
    close_all();
}

void store_ended(bool is_committed) noexcept {
    if (is_committed) {
        if (session_to_be.id != 0)
            session = session_to_be;
        for (const StoredSource *stored = stored_sources; stored != nullptr; stored = stored->next)
            if (stored->version == stored->function->version) {
                stored->function->stored_in = stored->table;
                stored->function->stored_at = stored->event;
            }
    }
    session_to_be.id = 0;
    stored_sources = nullptr;
}

} // namespace dbnet::provenance
