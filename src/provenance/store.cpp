// Records into tables (see store.hpp). Backends; inside pg::call.
#include "provenance/store.hpp"

#include "pg/guard.hpp"
#include "provenance/event_hash.hpp"
#include "provenance/function_info.hpp"
#include "provenance/own_heap.hpp"
#include "provenance/own_tables.hpp"
#include "settings.hpp"

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

// A row in the making: values in the order of the table's columns.
class Row {
public:
    void null() { add(Datum{0}, true); }
    void add(int64 value) { add(Int64GetDatum(value), false); }
    void add_if(int64 value, bool is_there) { add(Int64GetDatum(value), !is_there); }
    void add_integer(int32 value, bool is_there = true) { add(Int32GetDatum(value), !is_there); }
    void add(char value) { add(CharGetDatum(value), false); }
    void add(const char *text) { text != nullptr ? add(CStringGetTextDatum(text), false) : null(); }
    void add(const char *text, int length) { add(PointerGetDatum(cstring_to_text_with_len(text, length)), false); }
    void add(const Jsonb *document) { add(PointerGetDatum(document), document == nullptr); }
    void add(Datum value, bool is_null) {
        values[count] = value;
        nulls[count++] = is_null;
    }

    static constexpr int most = 20;
    Datum values[most];
    bool nulls[most];
    int count = 0;
};

// Fills in the checksum, which is the last column, and inserts.
void insert_checked(OwnHeap &heap, Row &row, Sha256 &root) {
    row.add_integer(0);
    const Sha256::Digest digest = hash_of_row(heap.columns(), row.values, row.nulls);
    row.values[row.count - 1] = Int32GetDatum(checksum_of(digest));
    root.add(std::string_view(reinterpret_cast<const char *>(digest.data()), digest.size()));
    heap.insert(row.values, row.nulls);
}

// ---- the session ----

struct Session {
    EventId id = 0; // 0: not on record
    Oid user = InvalidOid;
    char application[NAMEDATALEN]{};
    Sha256::Digest digest{};
};
Session session;       // on record
Session session_to_be; // written by the running transaction

constexpr EventId day = EventId{86'400'000'000} << events_per_tick_bits;

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

// The session's line, written when there is none yet, when it would say something else, and once a day, so that the
// retention of old lines leaves those that are referred to.
const Session &session_on_record(EventId transaction) {
    const char *application = application_name != nullptr ? application_name : "";
    const Oid user = GetSessionUserId();
    if (session.id != 0 && session.user == user && transaction - session.id < day &&
        strncmp(session.application, application, NAMEDATALEN - 1) == 0)
        return session;
    const Oid table = own_table(OwnTable::session);
    if (!OidIsValid(table))
        throw pg::error(ERRCODE_UNDEFINED_TABLE, "table dbnet.session is not there");
    session_to_be = Session{};
    session_to_be.id = transaction;
    session_to_be.user = user;
    strlcpy(session_to_be.application, application, NAMEDATALEN);
    const char *name = GetUserNameFromId(user, true);
    bool has_no_address = true, has_no_port = true;
    const Datum address = client(inet_client_addr, has_no_address), port = client(inet_client_port, has_no_port);
    Row row;
    row.add(transaction);
    row.add(name_of_process());
    row.add(name != nullptr ? name : "");
    row.add(application);
    row.add(address, has_no_address);
    row.add(port, has_no_port);
    row.add_integer(MyProcPid);
    row.add(TimestampTzGetDatum(MyStartTimestamp), false);
    OwnHeap heap(table);
    session_to_be.digest = hash_of_row(heap.columns(), row.values, row.nulls);
    heap.insert(row.values, row.nulls);
    heap.close();
    return session_to_be;
}

// ---- sources ----

struct StoredSource {
    FunctionInfo *function;
    Oid table;
    StoredSource *next;
};
StoredSource *stored_sources = nullptr; // by the running transaction; in its memory

bool is_stored(Oid table, int64 code) {
    const Oid index = get_relname_relid("code_id", own_schema());
    const Relation codes = table_open(table, AccessShareLock);
    ScanKeyData key;
    ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(code));
    const Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
    const SysScanDesc scan = systable_beginscan(codes, index, OidIsValid(index), snapshot, 1, &key);
    const bool is_found = HeapTupleIsValid(systable_getnext(scan));
    systable_endscan(scan);
    UnregisterSnapshot(snapshot);
    table_close(codes, AccessShareLock);
    return is_found;
}

void store_source(FunctionInfo &function) {
    if (OidIsValid(function.stored_in) && function.stored_in == own_table_if_known(OwnTable::code))
        return;
    const Oid table = own_table(OwnTable::code);
    if (!OidIsValid(table) || function.stored_in == table)
        return;
    for (const StoredSource *stored = stored_sources; stored != nullptr; stored = stored->next)
        if (stored->function == &function)
            return;
    if (!is_stored(table, function.code)) {
        Row row;
        row.add(function.code);
        row.add(function.name);
        row.add(function.language);
        row.add(function.source);
        row.add(TimestampTzGetDatum(GetCurrentTimestamp()), false);
        OwnHeap heap(table);
        heap.insert(row.values, row.nulls);
        heap.close();
    }
    auto *stored = static_cast<StoredSource *>(MemoryContextAlloc(TopTransactionContext, sizeof(StoredSource)));
    *stored = {&function, table, stored_sources};
    stored_sources = stored;
}

// ---- events ----

EventId activity_event(RecordNumber activity, EventId event) noexcept {
    return activity != 0 ? event_of(activity) : event;
}

void add_activity(Row &row, const Record &record, EventId transaction) {
    const Activity &activity = record.activity;
    const EventId parent = activity_event(activity.parent, activity.parent_event);
    const EventId started_by = event_of(activity.started_by);
    row.add(record.event);
    row.add(transaction);
    row.add(static_cast<char>(activity.kind));
    row.add_if(parent, parent != 0);
    row.add_if(started_by, started_by != 0);
    row.add(activity.kind == ActivityKind::report ? "device report" : activity.name);
    row.add_integer(activity.relation, activity.relation != 0);
    row.add(activity.role);
    row.add_integer(activity.line, activity.line > 0);
    if (activity.text == nullptr || activity.is_withheld || activity.kind == ActivityKind::report)
        row.null();
    else
        row.add(activity.text, activity.text_length);
    row.add(activity.is_withheld ? nullptr : activity.arguments);
    row.add(activity.detail);
    row.add_if(activity.function != nullptr ? activity.function->code : 0, activity.function != nullptr);
    row.add(TimestampTzGetDatum(activity.started_at), false);
    row.add_if(activity.duration, activity.duration >= 0);
    row.add_if(activity.rows, activity.rows >= 0);
    row.add(static_cast<char>(activity.status));
}

void add_version(Row &row, const Record &record) {
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
    row.add(TransactionIdGetDatum(version.row_transaction), !TransactionIdIsValid(version.row_transaction));
}

void add_use(Row &row, const Record &record) {
    const Use &use = record.use;
    const EventId version = use.version != 0 ? event_of(use.version) : use.version_event;
    row.add(record.event);
    row.add(activity_event(use.activity, use.activity_event));
    row.add_integer(use.relation);
    row.add(use.key);
    row.add_if(version, version != 0);
}

void add_transaction(Row &row, EventId transaction, uint32 count, const Session &who) {
    const TransactionNote &note = transaction_note();
    const char *role = GetUserNameFromId(GetOuterUserId(), true);
    const char *traceparent =
        settings::traceparent != nullptr && settings::traceparent[0] != '\0' ? settings::traceparent : note.traceparent;
    char *origin = nullptr;
    if (replorigin_session_origin != InvalidRepOriginId && replorigin_session_origin != DoNotReplicateId)
        replorigin_by_oid(replorigin_session_origin, true, &origin);
    row.add(transaction);
    row.add(static_cast<int64>(U64FromFullTransactionId(GetTopFullTransactionId())));
    row.add(who.id);
    row.add(role != nullptr ? role : "");
    row.add(TimestampTzGetDatum(GetCurrentTransactionStartTimestamp()), false);
    row.add_if(note.cause, note.cause != 0);
    row.add(note.reason);
    row.add(traceparent);
    row.add(origin);
    row.add(note.prepared_as);
    row.add_integer(static_cast<int32>(count));
    row.null(); // root
}

// Of one kind, in order; the root takes in their hashes in the order of writing: activities, versions, uses.
template<class F> void write_all(Oid table, Record::Kind kind, Sha256 &root, F fill) {
    const RecordNumber last = record_count();
    RecordNumber number = first_unwritten();
    while (number <= last && !(record_at(number).kind == kind && record_at(number).event != 0))
        ++number;
    if (number > last)
        return;
    if (!OidIsValid(table))
        throw pg::error(ERRCODE_UNDEFINED_TABLE, "a table of DBNet's provenance is not there");
    OwnHeap heap(table);
    for (; number <= last; ++number) {
        const Record &record = record_at(number);
        if (record.kind != kind || record.event == 0)
            continue;
        Row row;
        fill(row, record);
        insert_checked(heap, row, root);
    }
    heap.close();
}

} // namespace

void store(EventId transaction, uint32 count) {
    const Oid transactions = partition_of(Ring::transaction, transaction);
    if (!OidIsValid(transactions))
        return; // the transaction has dropped the extension
    const MemoryContext context =
        AllocSetContextCreateInternal(CurrentMemoryContext, "DBNet provenance rows", ALLOCSET_DEFAULT_SIZES);
    const MemoryContext before = MemoryContextSwitchTo(context);
    for (RecordNumber number = first_unwritten(); number <= record_count(); ++number) {
        const Record &record = record_at(number);
        if (record.kind == Record::Kind::activity && record.event != 0 && record.activity.function != nullptr)
            store_source(*record.activity.function);
    }
    const Session &who = session_on_record(transaction);
    OwnHeap heap(transactions);
    Row row;
    add_transaction(row, transaction, count, who);
    const Sha256::Digest own = hash_of_row(heap.columns(), row.values, row.nulls);
    Sha256 root(true);
    root.add(std::string_view(reinterpret_cast<const char *>(own.data()), own.size()));
    root.add(std::string_view(reinterpret_cast<const char *>(who.digest.data()), who.digest.size()));
    write_all(partition_of(Ring::activity, transaction), Record::Kind::activity, root,
              [transaction](Row &made, const Record &record) { add_activity(made, record, transaction); });
    write_all(partition_of(Ring::entity_version, transaction), Record::Kind::version, root,
              [](Row &made, const Record &record) { add_version(made, record); });
    write_all(own_table(OwnTable::used_version), Record::Kind::use, root,
              [](Row &made, const Record &record) { add_use(made, record); });
    const Sha256::Digest digest = root.digest();
    row.values[row.count - 1] =
        PointerGetDatum(cstring_to_text_with_len(reinterpret_cast<const char *>(digest.data()), digest.size()));
    row.nulls[row.count - 1] = false;
    heap.insert(row.values, row.nulls);
    heap.close();
    MemoryContextSwitchTo(before);
    MemoryContextDelete(context);
}

void store_ended(bool is_committed) noexcept {
    if (is_committed) {
        if (session_to_be.id != 0)
            session = session_to_be;
        for (const StoredSource *stored = stored_sources; stored != nullptr; stored = stored->next)
            stored->function->stored_in = stored->table;
    }
    session_to_be.id = 0;
    stored_sources = nullptr;
}

} // namespace dbnet::provenance
