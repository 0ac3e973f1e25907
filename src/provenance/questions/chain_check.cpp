// Whether transactions are as they were recorded: their roots over what is on record of them now (see dbnet.verify() in
// sql/17_care.sql, and store.cpp for how a root is made). One pass over all rings in the order of events, which also
// tells what is wrong with a transaction: a session's line that was changed alters all of that session's. Runs in
// backends.
#include "provenance/record/event_hash.hpp"
#include "provenance/record/event_scan.hpp"

#include "pg/guard.hpp"

#include <algorithm>

extern "C" {
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "executor/tuptable.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"
}

namespace dbnet::provenance {
namespace {

// Columns, as sql/08_provenance.sql makes them, counted from 0.
namespace activity_column {
enum { id = 0, transaction = 1, checksum = 17, session = 19, events = 27, root = 28 };
}
namespace version_place {
enum { id = 0, activity = 1, checksum = 11 };
}
namespace use_place {
enum { id = 0, checksum = 5 };
}
constexpr int most_columns = 32;
constexpr int no_checksum = -1; // the table's rows have none

struct Event {
    EventId id;
    Sha256::Digest digest;
    bool is_changed; // does not fit its own checksum
};

// Rows of a table that is no ring.
struct Events {
    int64 count = 0, capacity = 0;
    Event *list = nullptr; // by id
};

Events read_table(OwnTable which, int checksum) {
    Events events;
    const Relation table = table_open(own_table(which), AccessShareLock);
    TupleTableSlot *row = table_slot_create(table, nullptr);
    const TableScanDesc scan = table_beginscan(table, GetActiveSnapshot(), 0, nullptr);
    while (table_scan_getnextslot(scan, ForwardScanDirection, row)) {
        CHECK_FOR_INTERRUPTS();
        slot_getallattrs(row);
        if (events.count == events.capacity) {
            events.capacity = std::max<int64>(64, events.capacity * 2);
            const Size size = sizeof(Event) * events.capacity;
            events.list =
                static_cast<Event *>(events.list == nullptr ? MemoryContextAllocHuge(CurrentMemoryContext, size)
                                                            : repalloc_huge(events.list, size));
        }
        const Sha256::Digest digest = hash_of_row(RelationGetDescr(table), row->tts_values, row->tts_isnull);
        events.list[events.count++] = {DatumGetInt64(row->tts_values[0]), digest,
                                       checksum != no_checksum &&
                                           checksum_of(digest) != DatumGetInt32(row->tts_values[checksum])};
    }
    table_endscan(scan);
    ExecDropSingleTupleTableSlot(row);
    table_close(table, AccessShareLock);
    std::stable_sort(events.list, events.list + events.count,
                     [](const Event &left, const Event &right) { return left.id < right.id; });
    return events;
}

// The next event of a ring, looked at before it is taken.
class Reader {
public:
    Reader(EventTable table, EventId first, int checksum)
        : scan_(table, first, ForwardScanDirection), checksum_(checksum) {
        take();
    }

    bool is_at_end() const { return tuple_ == nullptr; }
    EventId id() const { return DatumGetInt64(values[0]); }
    Event event() const {
        const Sha256::Digest digest = hash_of_row(scan_.columns(), values, nulls);
        return {id(), digest, checksum_of(digest) != DatumGetInt32(values[checksum_])};
    }
    void take() {
        tuple_ = scan_.next();
        if (tuple_ != nullptr)
            heap_deform_tuple(tuple_, scan_.columns(), values, nulls);
    }

    Datum values[most_columns];
    bool nulls[most_columns];

private:
    EventScan scan_;
    int checksum_; // place of the column
    HeapTuple tuple_ = nullptr;
};

std::string_view bytes_of(const Sha256::Digest &digest) noexcept {
    return {reinterpret_cast<const char *>(digest.data()), digest.size()};
}

constexpr EventId whole_transaction = 0; // no event of it

struct Check {
    ReturnSetInfo *result;
    EventId first, last;
    EventId oldest; // that retention has left; what belongs to earlier ones may be there still
    Events sessions, uses;
    int64 next_use = 0;

    void put(EventId transaction, EventId event, const char *finding) const {
        Datum values[] = {Int64GetDatum(transaction), Int64GetDatum(event), CStringGetTextDatum(finding)};
        bool nulls[] = {false, event == whole_transaction, false};
        tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
    }
};

// What was read of one transaction, in memory that is emptied after it.
class Transaction {
public:
    explicit Transaction(EventId id) : id_(id) {}

    void add(const Event &event) {
        CHECK_FOR_INTERRUPTS();
        root.add(bytes_of(event.digest));
        if (count_ == capacity_) {
            capacity_ = capacity_ == 0 ? few : capacity_ * 2;
            auto *larger = static_cast<Seen *>(MemoryContextAllocHuge(CurrentMemoryContext, sizeof(Seen) * capacity_));
            std::copy_n(list_, count_, larger);
            list_ = larger;
        }
        list_[count_++] = {event.id, event.is_changed};
    }

    // Which of its events are not as they were; itself, if they all are.
    void tell(const Check &check, EventId end) {
        bool has_told = false;
        const auto put = [&](EventId event, const char *finding) {
            check.put(id_, event, finding);
            has_told = true;
        };
        std::stable_sort(list_, list_ + count_, [](const Seen &left, const Seen &right) { return left.id < right.id; });
        EventId next = id_;
        for (int64 place = 0; place < count_; ++place) {
            const Seen &seen = list_[place];
            for (; next < seen.id; ++next)
                put(next, "the record was removed");
            if (seen.is_changed)
                put(seen.id, "the record was changed");
            if (seen.id < next && (place < 2 || list_[place - 2].id != seen.id))
                put(seen.id, "the record stands twice");
            next = seen.id + 1;
        }
        for (; next < end; ++next)
            put(next, "the record was removed");
        if (!has_told)
            put(whole_transaction, "the transaction is not as it was recorded");
    }

    Sha256 root;

private:
    struct Seen {
        EventId id;
        bool is_changed;
    };
    static constexpr int64 few = 16;

    EventId id_;
    Seen *list_ = nullptr;
    int64 count_ = 0, capacity_ = 0;
};

void add_session(const Check &check, const Reader &activity, Sha256 &root) {
    if (activity.nulls[activity_column::session])
        return;
    const EventId id = DatumGetInt64(activity.values[activity_column::session]);
    Event *const end = check.sessions.list + check.sessions.count;
    const Event *found = std::lower_bound(check.sessions.list, end, id,
                                          [](const Event &event, EventId wanted) { return event.id < wanted; });
    if (found != end && found->id == id)
        root.add(bytes_of(found->digest));
}

// The transaction whose first activity is read, to its last event.
void check_transaction(Check &check, Reader &activity, Reader &version) {
    const EventId id = activity.id();
    const EventId end = id + DatumGetInt32(activity.values[activity_column::events]);
    std::array<char, 32> recorded{};
    const auto *stored = DatumGetByteaPP(activity.values[activity_column::root]);
    const bool is_whole = VARSIZE_ANY_EXHDR(stored) == recorded.size();
    if (is_whole)
        memcpy(recorded.data(), VARDATA_ANY(stored), recorded.size());
    Transaction transaction(id);
    add_session(check, activity, transaction.root);
    do {
        transaction.add(activity.event());
        activity.take();
    } while (!activity.is_at_end() && activity.id() < end);
    for (; !version.is_at_end() && version.id() < end; version.take())
        transaction.add(version.event());
    for (; check.next_use < check.uses.count && check.uses.list[check.next_use].id < end; ++check.next_use)
        if (check.uses.list[check.next_use].id >= id)
            transaction.add(check.uses.list[check.next_use]);
    const Sha256::Digest digest = transaction.root.digest();
    if (id >= check.first && (!is_whole || memcmp(digest.data(), recorded.data(), recorded.size()) != 0))
        transaction.tell(check, end);
}

void put_lost(const Check &check, EventId transaction, EventId event) {
    if (transaction >= check.oldest)
        check.put(transaction, event, "its transaction was removed");
}

// Versions before the next transaction belong to none.
void pass_over(const Check &check, Reader &version, EventId before) {
    for (; !version.is_at_end() && version.id() < before; version.take())
        if (version.id() >= check.first && version.id() <= check.last)
            put_lost(check, DatumGetInt64(version.values[version_place::activity]), version.id());
}

void check_all(Check &check, EventId start) {
    check.sessions = read_table(OwnTable::session, no_checksum);
    check.uses = read_table(OwnTable::used_version, use_place::checksum);
    const MemoryContext row_memory =
        AllocSetContextCreateInternal(CurrentMemoryContext, "DBNet checked events", ALLOCSET_DEFAULT_SIZES);
    Reader activity(EventTable::activity, start, activity_column::checksum),
        version(EventTable::entity_version, start, version_place::checksum);
    while (!activity.is_at_end() && activity.id() <= check.last) {
        const MemoryContext before = MemoryContextSwitchTo(row_memory);
        if (activity.nulls[activity_column::root]) {
            if (activity.id() >= check.first)
                put_lost(check, DatumGetInt64(activity.values[activity_column::transaction]), activity.id());
            activity.take();
        } else {
            pass_over(check, version, activity.id());
            check_transaction(check, activity, version);
        }
        MemoryContextSwitchTo(before);
        MemoryContextReset(row_memory);
    }
    pass_over(check, version, check.last);
}

} // namespace

// start (of the transaction before `first`), first, last, oldest
DBNET_FUNCTION(dbnet_altered_transactions) {
    pg::call([&] {
        InitMaterializedSRF(fcinfo, 0);
        Check check{};
        check.result = reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo);
        check.first = PG_GETARG_INT64(1);
        check.last = PG_GETARG_INT64(2);
        check.oldest = PG_GETARG_INT64(3);
        check_all(check, PG_GETARG_INT64(0));
    });
    return Datum{0};
}

} // namespace dbnet::provenance
