// Retention and sealing (see housekeeping.hpp). Mirror worker.
//
// Sealing. A transaction takes its event id when it is about to commit, and commits a moment later; one that is
// prepared, whenever somebody ends it. A block must hold every transaction up to its last, so it is made of those below
// a horizon only: an id that was noted together with the next transaction id, once all transactions below that one have
// ended. They have a transaction id before they take an event id (provenance::take_events).
//
// Retention. What it removes is told by a link of the chain, in the same transaction: whatever else is missing at the
// old end was not removed by it. It removes whole partitions, so a block holds transactions of one partition only.
#include "bgworker/housekeeping.hpp"

#include <vector>

#include "mirror/store/operation_store.hpp"
#include "pg/spi.hpp"
#include "provenance/record/event_clock.hpp"
#include "provenance/record/ring.hpp"
#include "settings.hpp"

extern "C" {
#include "access/transam.h"
#include "access/xact.h"
}

namespace dbnet::bgworker {
namespace {

using provenance::EventId;

constexpr int64_t removal_interval_ms = 60'000;
constexpr int64_t seal_interval_ms = 30'000;
constexpr int64_t dimensions_interval_ms = 3600'000;
constexpr EventId minute = EventId{60'000'000} << provenance::events_per_tick_bits;

const pg::Statement set_limits{"SELECT set_config('lock_timeout', '20ms', true)"};

// Those that hold something.
const pg::Statement select_filled{"SELECT string_agg(c.oid::regclass::text, ', ') FROM pg_class AS c"
                                  " WHERE c.relnamespace = 'dbnet'::regnamespace AND c.relname = ANY ($1)"
                                  " AND pg_relation_size(c.oid) > 0"};

const pg::Statement remove_uses{"DELETE FROM dbnet.used_version WHERE ctid = ANY (ARRAY("
                                "SELECT ctid FROM dbnet.used_version WHERE activity < $1 LIMIT 5000))"};
const pg::Statement remove_outside_changes{"DELETE FROM dbnet.outside_change WHERE ctid = ANY (ARRAY("
                                           "SELECT ctid FROM dbnet.outside_change WHERE id < $1 LIMIT 5000))"};
const pg::Statement remove_sessions{"DELETE FROM dbnet.session WHERE ctid = ANY (ARRAY("
                                    "SELECT ctid FROM dbnet.session WHERE id < $1 LIMIT 5000))"};
const pg::Statement remove_sources{"DELETE FROM dbnet.code WHERE ctid = ANY (ARRAY("
                                   "SELECT ctid FROM dbnet.code WHERE seen_at < dbnet.event_time($1) LIMIT 5000))"};
// What retention has removed, by the newest link that tells of that; the number of the first link that stays is that
// whose `previous` it names.
const pg::Statement select_removed_before{
    "SELECT removed_before FROM dbnet.provenance_block WHERE removed_before IS NOT NULL ORDER BY number DESC LIMIT 1"};
const pg::Statement insert_removal{R"sql(
    INSERT INTO dbnet.provenance_block AS b (number, transactions, previous, root, removed_before, last_removed)
    SELECT coalesce(last.number, 0) + 1, '{}', last.root, dbnet.block_root(last.root, NULL, $1, gone.root), $1, gone.root
    FROM (SELECT coalesce(
              (SELECT root FROM dbnet.provenance_block WHERE transactions[cardinality(transactions)] < $1 ORDER BY number DESC LIMIT 1),
              (SELECT last_removed FROM dbnet.provenance_block WHERE removed_before IS NOT NULL ORDER BY number DESC LIMIT 1)) AS root) AS gone
    LEFT JOIN LATERAL (SELECT number, root FROM dbnet.provenance_block ORDER BY number DESC LIMIT 1) AS last ON true
)sql"};
const pg::Statement remove_blocks{R"sql(
    WITH removal AS (SELECT last_removed AS root FROM dbnet.provenance_block WHERE removed_before IS NOT NULL ORDER BY number DESC LIMIT 1)
    DELETE FROM dbnet.provenance_block AS b USING (SELECT number FROM dbnet.provenance_block ORDER BY number LIMIT 1000) AS old
    WHERE b.number = old.number AND old.number < (
        SELECT kept.number FROM dbnet.provenance_block AS kept WHERE kept.previous = (SELECT root FROM removal)
        AND (SELECT previous FROM dbnet.provenance_block ORDER BY number LIMIT 1) IS DISTINCT FROM (SELECT root FROM removal))
)sql"}; // the last condition, the rule: there is none

const pg::Statement select_sealed{
    "SELECT transactions[cardinality(transactions)] FROM dbnet.provenance_block WHERE transactions <> '{}'"
    " ORDER BY number DESC LIMIT 1"};
const pg::Statement select_oldest_running{"SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint"};

const pg::Statement remove_bodies{
    "DELETE FROM dbnet.deleted_object WHERE id IN ("
    "SELECT id FROM (SELECT id, at FROM dbnet.deleted_object ORDER BY id LIMIT 1000) AS old"
    " WHERE at < now() - make_interval(mins => $1::integer))"};

const pg::Statement remove_tokens{"SELECT dbnet.remove_ended_tokens()"};

constexpr int most_sealed = 10'000; // transactions of a block
const pg::Statement insert_block{R"sql(
    INSERT INTO dbnet.provenance_block AS b (number, transactions, previous, root)
    SELECT coalesce(last.number, 0) + 1, new.ids, last.root, dbnet.block_root(last.root, new.roots, NULL, NULL)
    FROM (WITH unsealed AS MATERIALIZED (SELECT id, root FROM dbnet.transaction WHERE id >= $1 AND id < $2 ORDER BY id LIMIT $3)
          SELECT array_agg(id ORDER BY id) AS ids, string_agg(root, '' ORDER BY id) AS roots
          FROM unsealed WHERE id >> $4::integer = (SELECT min(id) >> $4::integer FROM unsealed)) AS new
    LEFT JOIN LATERAL (SELECT number, root FROM dbnet.provenance_block ORDER BY number DESC LIMIT 1) AS last ON true
    WHERE new.ids IS NOT NULL
    RETURNING transactions[cardinality(transactions)]
)sql"};

const pg::Statement ensure_partitions{"SELECT otel.ensure_partitions()"};
// One, so that its locks are given back before the next is asked for.
const pg::Statement remove_old_partition{"SELECT otel.remove_old_partitions(most => 1)"};
// What holds one is looked up once: it may be dropped between two looks, which see what has committed by then.
const pg::Statement select_held_partitions{
    "WITH part AS MATERIALIZED (SELECT partition, held_by FROM otel.partitions"
    " WHERE to_time <= now() - current_setting('dbnet.telemetry_retention')::interval)"
    " SELECT string_agg(format('%s (%s)', partition, held_by), ', ' ORDER BY partition::text) FROM part WHERE held_by "
    "IS NOT NULL"};
const pg::Statement remove_dimensions{"SELECT otel.remove_old_dimensions()"};

std::string part_name(const char *ring, int place, bool two_digits) {
    const std::string number = std::to_string(place);
    return std::string(ring) + '_' + (two_digits && place < 10 ? "0" : "") + number;
}

// Partitions that hold no id from `oldest` on, and are not empty; separated by commas.
std::string parts_to_empty(const provenance::Ring &ring, std::initializer_list<const char *> tables, bool two_digits,
                           EventId oldest, EventId newest) {
    std::vector<std::string> parts;
    for (int place = 0; place < ring.places; place++)
        if (ring.is_over(place, oldest, newest))
            for (const char *table : tables)
                parts.push_back(part_name(table, place, two_digits));
    return std::string(pg::execute(select_filled, parts).text(0, 0));
}

// What the chain says was removed; 0: nothing.
EventId removed_before() {
    const pg::Result found = pg::execute(select_removed_before);
    return found.rows() == 0 ? 0 : found.integer(0, 0);
}

} // namespace

void Housekeeping::turn(int64_t now_ms) {
    try {
        if (now_ms >= next_removal_ms_) {
            next_removal_ms_ = now_ms + removal_interval_ms;
            remove_old();
            if (care_for_telemetry())
                next_removal_ms_ = now_ms;
        }
        if (now_ms >= next_dimensions_ms_) {
            next_dimensions_ms_ = now_ms + dimensions_interval_ms;
            pg::in_transaction([] {
                pg::execute(set_limits);
                pg::execute(remove_dimensions);
            });
        }
        if (now_ms >= next_seal_ms_) {
            next_seal_ms_ = now_ms + seal_interval_ms;
            if (seal())
                next_seal_ms_ = now_ms;
        }
    } catch (const pg::pg_error &error) {
        if (error.sqlstate() != ERRCODE_LOCK_NOT_AVAILABLE)
            note_error_("what is on record could not be cared for: " + error.message());
    }
}

void Housekeeping::remove_old() {
    pg::in_transaction([this] {
        pg::execute(set_limits);
        // Ids may be ahead of the clock, which was set back: that makes nothing older.
        const EventId newest = provenance::next_event() - 1, now = provenance::event_now();
        const EventId oldest_event = now - settings::provenance_retention * minute;
        const EventId oldest_actuation = now - settings::actuation_retention * minute;
        const std::string calls =
            parts_to_empty(provenance::actuation_ring, {"actuation"}, false, oldest_actuation, newest);
        if (!calls.empty())
            pg::execute_once("TRUNCATE " + calls);
        const std::string events =
            parts_to_empty(provenance::event_ring, {"activity", "entity_version"}, true, oldest_event, newest);
        EventId removed = removed_before();
        if (!events.empty()) {
            if (const EventId kept = provenance::event_ring.start_of_stretch(oldest_event); kept > removed) {
                pg::execute(insert_removal, kept);
                removed = kept;
            }
            pg::execute_once("TRUNCATE " + events);
        }
        pg::execute(remove_uses, removed);
        pg::execute(remove_outside_changes, oldest_event);
        pg::execute(remove_sessions, removed - provenance::session_interval);
        if (removed != sources_removed_before_ &&
            pg::execute(remove_sources, removed - 2 * provenance::source_interval).affected() == 0)
            sources_removed_before_ = removed;
        pg::execute(remove_blocks);
        pg::execute(remove_bodies, settings::provenance_retention);
        pg::execute(remove_tokens);
        mirror::remove_old_operations(settings::actuation_retention);
    });
}

bool Housekeeping::care_for_telemetry() {
    constexpr int most_at_once = 20; // devices do not wait for the others
    pg::in_transaction([] { pg::execute(ensure_partitions); });
    bool is_more = true;
    for (int removed = 0; is_more && removed < most_at_once; ++removed)
        pg::in_transaction([&] {
            pg::execute(set_limits);
            is_more = pg::execute(remove_old_partition).integer(0, 0) > 0;
        });
    if (!is_more)
        report_held_partitions();
    return is_more;
}

// Once for as long as they are the same.
void Housekeeping::report_held_partitions() {
    std::string held;
    pg::in_transaction([&] { held = pg::execute(select_held_partitions).text(0, 0); });
    if (held != held_partitions_ && !held.empty())
        pg::log("DBNet: partitions of telemetry that are over are kept, because something depends on them: " + held,
                "Let it depend on the partitioned table instead, or drop it; see otel.partitions.");
    held_partitions_ = std::move(held);
}

bool Housekeeping::seal() {
    // Nothing has taken an id since everything was sealed: not even a look is needed.
    if (horizon_.event == 0 && provenance::newest_tick() < provenance::tick_of(sealed_) && sealed_ > 0)
        return false;
    bool is_more = false;
    pg::in_transaction([&] {
        pg::execute(set_limits);
        if (sealed_ < 0) {
            provenance::next_event(); // the clock knows what is on record
            const pg::Result last = pg::execute(select_sealed);
            sealed_ = last.rows() == 0 ? 0 : last.integer(0, 0) + 1;
        }
        if (horizon_.event > 0 &&
            static_cast<uint64_t>(pg::execute(select_oldest_running).integer(0, 0)) >= horizon_.next_transaction) {
            const pg::Result block =
                pg::execute(insert_block, sealed_, horizon_.event, most_sealed, provenance::stretch_bits);
            is_more = block.rows() > 0;
            sealed_ = is_more ? block.integer(0, 0) + 1 : horizon_.event;
        }
    });
    if (is_more)
        return true;
    // An earlier horizon that has not been reached yet stays: a later one would be reached later still.
    if (horizon_.event <= sealed_) {
        horizon_ = {};
        if (const EventId next = provenance::first_event(provenance::newest_tick() + 1); next > sealed_) {
            horizon_.event = next; // first this, then the transaction id
            horizon_.next_transaction = pg::call([] { return U64FromFullTransactionId(ReadNextFullTransactionId()); });
        }
    }
    return false;
}

} // namespace dbnet::bgworker
