// Pages made ahead (see record_room.hpp). Mirror worker.
#include "bgworker/record_room.hpp"

#include "pg/shared_counters.hpp"
#include "pg/spi.hpp"
#include "provenance/record/event_clock.hpp"
#include "provenance/record/own_tables.hpp"

#include <utility>

extern "C" {
#include "catalog/pg_am.h"
#include "storage/freespace.h"
#include "storage/indexfsm.h"
#include "utils/rel.h"
#include "utils/relcache.h"
}

namespace dbnet::bgworker {
namespace {

using Room = RecordRoom::Room;

constexpr int64_t busy_look_ms = 100, idle_look_ms = 1000, failed_look_ms = 60'000;
constexpr int64_t most_pages_at_once = 32;            // about a millisecond: devices wait meanwhile
constexpr BlockNumber most_looked_at = 4 * most_room; // pages; one further back that nobody finds is not waited for
constexpr Size whole_page = BLCKSZ - BLCKSZ / 8;      // free bytes by which a page is known that holds nothing

// Nothing waits for a lock, and who has the table locked may be about to empty or drop it. nullptr: not now, or it is
// gone.
Relation opened(Oid table) {
    if (!OidIsValid(table) || !ConditionalLockRelationOid(table, RowExclusiveLock))
        return nullptr;
    return RelationIdGetRelation(table);
}

// Of `first` to `end`; moves `first` to the first of them.
int64_t free_pages(Relation relation, BlockNumber &first, BlockNumber end) {
    int64_t free = 0;
    BlockNumber first_free = end;
    for (BlockNumber page = first; page < end; ++page)
        if (GetRecordedFreeSpace(relation, page) >= whole_page && free++ == 0)
            first_free = page;
    first = first_free;
    return free;
}

// `room` as it was at the last look; of another relation: it has not been looked at yet.
Room seen(Relation relation, Oid table, Room room, int64_t elapsed_ms) {
    const Oid id = RelationGetRelid(relation);
    const BlockNumber size = RelationGetNumberOfBlocks(relation);
    if (room.relation != id || size < room.end) // or it was emptied
        return {.table = table, .relation = id, .first = size, .end = size};
    const int64_t before = room.free;
    room.first = std::max(room.first, room.end - std::min(room.end, most_looked_at));
    room.free = free_pages(relation, room.first, room.end);
    room.left = room_wanted(before - room.free + (size - room.end), elapsed_ms, room.free);
    room.end = size;
    return room;
}

// An empty page of rows spares who finds it one more pass over its bytes. As that is not logged it is not marked as
// changed either: read again before it holds a row it is zeros, which become such a page once more.
void make_empty(Buffer buffer) {
    LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
    if (PageIsNew(BufferGetPage(buffer))) // nobody has found it yet
        PageInit(BufferGetPage(buffer), BLCKSZ, 0);
    UnlockReleaseBuffer(buffer);
}

// Adds as many, or fewer, and makes them known to whoever looks for space. How many.
int64_t add_free_pages(Relation relation, uint32 count, bool is_table) {
    const pg::compat::Pages added =
        is_table ? pg::compat::add_pages(relation, count, make_empty)
                 : pg::compat::add_pages(relation, count, [](Buffer buffer) { ReleaseBuffer(buffer); });
    for (BlockNumber page = added.first; page < added.end; ++page)
        is_table ? RecordPageWithFreeSpace(relation, page, BLCKSZ - SizeOfPageHeaderData)
                 : RecordFreeIndexPage(relation, page);
    FreeSpaceMapVacuumRange(relation, added.first, added.end);
    return added.end - added.first;
}

// One that is being built (CONCURRENTLY) is written past the shared buffers, by who counts its pages alone.
bool is_ready(Relation index) {
    return index->rd_index->indisready && index->rd_rel->relam == BTREE_AM_OID;
}

uint64_t events_recorded() noexcept {
    pg::SharedCounters *counters = pg::find_counters(MyDatabaseId);
    return counters == nullptr ? 0 : pg_atomic_read_u64(&counters->provenance_events);
}

} // namespace

int RecordRoom::timeout_ms(int64_t now_ms) const noexcept {
    return is_busy_ ? static_cast<int>(std::max<int64_t>(next_ms_ - now_ms, 0)) : -1;
}

bool RecordRoom::is_more() const noexcept {
    return std::ranges::any_of(rooms_, [](const Room &room) { return room.left > 0; });
}

void RecordRoom::turn(int64_t now_ms) {
    static const bool is_able = pg::call([] { return pg::compat::expects_lost_pages(); });
    if (now_ms < next_ms_ || !is_able)
        return;
    try {
        if (is_more()) {
            pg::in_transaction([&] { make(); });
        } else {
            const uint64_t recorded = events_recorded();
            is_busy_ = recorded != std::exchange(recorded_, recorded);
            const int64_t elapsed_ms = now_ms - std::exchange(last_look_ms_, now_ms);
            if (is_busy_)
                pg::in_transaction([&] { look(elapsed_ms); });
        }
        next_ms_ = now_ms + (is_more() ? 0 : is_busy_ ? busy_look_ms : idle_look_ms);
    } catch (const pg::pg_error &error) { // a full disk: sessions are told, too
        rooms_.fill({});
        is_busy_ = false;
        next_ms_ = now_ms + failed_look_ms;
        note_error_("no room could be made for what is recorded: " + error.message());
    }
}

void RecordRoom::look(int64_t elapsed_ms) {
    using provenance::EventTable;
    decltype(rooms_) now{};
    size_t count = 0;
    const auto add = [&](Relation relation, Oid table) {
        if (count == now.size())
            return;
        const auto known = std::ranges::find(rooms_, RelationGetRelid(relation), &Room::relation);
        now[count++] = seen(relation, table, known == rooms_.end() ? Room{} : *known, elapsed_ms);
    };
    pg::call([&] {
        for (const EventTable which : {EventTable::activity, EventTable::entity_version}) {
            const Relation table = opened(provenance::partition_of(which, provenance::event_now()));
            if (table == nullptr)
                continue;
            add(table, RelationGetRelid(table));
            const List *indexes = RelationGetIndexList(table);
            for (int place = 0; place < list_length(indexes); ++place) {
                // Without a lock of its own, as in OwnHeap::index().
                const Relation index = RelationIdGetRelation(list_nth_oid(indexes, place));
                if (!RelationIsValid(index))
                    continue;
                if (is_ready(index))
                    add(index, RelationGetRelid(table));
                RelationClose(index);
            }
            RelationClose(table);
        }
    });
    rooms_ = now;
}

void RecordRoom::make() {
    Room &room = *std::ranges::find_if(rooms_, [](const Room &one) { return one.left > 0; });
    pg::call([&] {
        const Relation table = opened(room.table);
        const bool is_table = room.relation == room.table;
        const Relation relation = table == nullptr || is_table ? table : RelationIdGetRelation(room.relation);
        if (RelationIsValid(relation)) {
            const int64_t wanted = std::min(room.left, most_pages_at_once);
            room.free += add_free_pages(relation, static_cast<uint32>(wanted), is_table);
            room.left -= wanted;
            room.end = RelationGetNumberOfBlocks(relation);
            if (!is_table)
                RelationClose(relation);
        } else {
            room = {};
        }
        if (table != nullptr)
            RelationClose(table);
    });
}

} // namespace dbnet::bgworker
