// Implementation of watcher.hpp. Runs in the mirror worker.
#include "bgworker/watch/watcher.hpp"

#include "bgworker/report/report_transaction.hpp"
#include "kubernetes/object/resource_version.hpp"
#include "mirror/store/object_store.hpp"

#include <algorithm>
#include <utility>
#include <vector>

extern "C" {
#include "utils/elog.h"
}

namespace dbnet::bgworker {

namespace {

// Between two writes of mirror_state that tell nothing urgent: while it is listed, and later, for all mirrors together.
constexpr Milliseconds listing_interval = 1'000, state_interval = 5'000;
constexpr Milliseconds busy_pause = 200;
constexpr Milliseconds full_pause = 2'000;                         // the database can take nothing
constexpr Milliseconds failed_first = 1'000, failed_last = 60'000; // it will not take an object
constexpr int absent_batch = 2'000;

const pg::Statement select_known_version{
    "SELECT resource_version FROM dbnet.mirror_state WHERE relation = $1::regclass"};

// After a restore of a dump the mirror's row is not there.
const pg::Statement upsert_state{R"sql(
    INSERT INTO dbnet.mirror_state (relation, state, message, listed, expected, resource_version, watch_since, last_event_at)
    SELECT relation, $2, $3, $4, $5, $6, to_timestamp($7), to_timestamp($8)
    FROM dbnet.mirrored_relation WHERE relation = $1::regclass
    ON CONFLICT (relation) DO UPDATE SET
        state = excluded.state, message = excluded.message, listed = excluded.listed, expected = excluded.expected,
        resource_version = excluded.resource_version, watch_since = excluded.watch_since,
        last_event_at = excluded.last_event_at, told_at = excluded.told_at
)sql"};

// Of objects that are known to be gone, those whose row may have been left behind.
const pg::Statement select_recorded{
    "SELECT namespace, name, uid, resource_version, live IS NULL FROM dbnet.object WHERE relation = $1::regclass"
    " AND (live IS NOT NULL OR phase IN ('absent', 'report_failed'))"
    " AND (namespace, name) > ($2, $3) ORDER BY namespace, name LIMIT $4"};

std::optional<std::string> text_or_null(const std::string &text) {
    return text.empty() ? std::nullopt : std::optional(text);
}
std::optional<double> optional_time(int64_t seconds) {
    return seconds == 0 ? std::nullopt : std::optional(static_cast<double>(seconds));
}

// The earlier of two times of which -1 is never.
Milliseconds earlier(Milliseconds left, Milliseconds right) {
    return left < 0 ? right : right < 0 ? left : std::min(left, right);
}

} // namespace

Watcher::Watcher(kubernetes::Transport &transport, WatcherClient &client, pg::SharedCounters &counters)
    : transport_(transport), client_(client), counters_(counters), random_(std::random_device()()),
      report_([this](const SeenObject &seen) { client_.seen(seen); }) {}

void Watcher::configure(std::shared_ptr<const mirror::Catalog> catalog) {
    catalog_ = std::move(catalog);
    for (auto entry = entries_.begin(); entry != entries_.end();) {
        if (catalog_->mirrors.count(entry->first)) {
            ++entry;
            continue;
        }
        report_.forget(entry->first);
        entry = entries_.erase(entry);
    }
    for (const auto &[relation, mirror] : catalog_->mirrors) {
        std::shared_ptr<const mirror::Mirror> shared(catalog_, &mirror);
        const auto known_entry = entries_.find(relation);
        if (known_entry != entries_.end() && MirrorWatch::is_same_source(known_entry->second.watch->mirror(), mirror)) {
            if (known_entry->second.watch->update(std::move(shared)))
                known_entry->second.listed = false; // an answer that came meanwhile would be written over
            continue;
        }
        std::string known_version;
        if (known_entry == entries_.end())
            in_report_transaction([&] {
                pg::Result known = pg::execute(select_known_version, Oid{relation});
                known_version = known.rows() > 0 ? known.text(0, 0) : "";
            });
        Entry entry; // every entry has a watch, also when something above failed
        entry.watch = std::make_unique<MirrorWatch>(std::move(shared), transport_, std::move(known_version));
        entries_.insert_or_assign(relation, std::move(entry));
    }
}

// The loop -----------------------------------------------------------------------------------------------------------

void Watcher::turn() {
    Milliseconds now = monotonic_now();
    for (auto &[relation, entry] : entries_) {
        entry.watch->turn(now);
        count_events(*entry.watch);
        if (!entry.watch->has_complete_list()) { // once it is complete, from the beginning
            entry.search_absent = true;
            entry.searched_to = {};
            entry.anew = true;
        }
        if (now < entry.busy_until)
            continue;
        try {
            turn_entry(entry, now);
        } catch (const pg::pg_error &error) {
            // Somebody has DBNet's own tables locked, as an open dbnet.unmirror() does.
            if (error.sqlstate() != ERRCODE_LOCK_NOT_AVAILABLE && error.sqlstate() != ERRCODE_T_R_DEADLOCK_DETECTED)
                throw;
            entry.busy_until = now + busy_pause;
        }
    }
}

void Watcher::turn_entry(Entry &entry, Milliseconds now) {
    if (const unsigned answers = entry.watch->reflector().answers(); answers != entry.answers) {
        entry.answers = answers;
        client_.server_answers(entry.watch->mirror());
    }
    // Rows that would be sent wait for the kind, and not each for itself.
    if (entry.watch->reflector().is_kind_missing())
        entry.missing = true, entry.listed = false;
    check_consistency(entry, now);
    store_events(entry, now);
    if (entry.watch->has_complete_list() && entry.search_absent)
        find_absent(entry);
    if (Milliseconds due = report_.due(entry.watch->mirror().relation); due >= 0 && due <= now)
        report_.retry(entry.watch->mirror(), now);
    write_state(entry, now);
}

// Servers have lost events of watches. From time to time a list from the store shows what was missed; the watch goes on
// from there.
void Watcher::check_consistency(Entry &entry, Milliseconds now) {
    if (settings::compare_interval <= 0 || !entry.listed || !entry.watch->reflector().is_watching()) {
        entry.consistent_at = now;
        return;
    }
    if (now < consistency_due(entry))
        return;
    entry.consistent_at = now;
    entry.spread = 0.75 + 0.5 * std::generate_canonical<double, 30>(random_);
    entry.watch->resync();
}

Milliseconds Watcher::consistency_due(const Entry &entry) const {
    if (settings::compare_interval <= 0 || !entry.listed)
        return -1;
    return entry.consistent_at + static_cast<Milliseconds>(1000.0 * settings::compare_interval * entry.spread);
}

bool Watcher::has_events(const Entry &entry) const {
    return !entry.watch->queue().empty();
}

int Watcher::timeout_ms() const {
    Milliseconds now = monotonic_now(), next = -1;
    for (const auto &[relation, entry] : entries_) {
        next = earlier(next, entry.watch->due());
        Milliseconds ours = earlier(earlier(report_.due(relation), state_due(entry)), consistency_due(entry));
        if (has_events(entry) || (entry.search_absent && entry.watch->has_complete_list()))
            ours = now;
        if (ours >= 0)
            next = earlier(next, std::max(ours, entry.busy_until));
    }
    return next < 0 ? -1 : static_cast<int>(std::max<Milliseconds>(next - now, 0));
}

void Watcher::store_events(Entry &entry, Milliseconds now) {
    EventQueue &queue = entry.watch->queue();
    if (!queue.empty()) {
        std::vector<QueuedEvent> events =
            queue.take(Report::batch, [this](const mirror::Key &key) { return client_.in_flight(key); });
        if (events.empty()) {
            entry.busy_until = now + busy_pause; // all of them are held; answered() ends the pause
        } else {
            record(entry, std::move(events), now);
        }
    }
    if (!queue.empty() || !entry.watch->has_complete_list() || entry.search_absent ||
        entry.watch->reflector().is_kind_missing())
        return;
    entry.listed = true;
    if (std::exchange(entry.anew, false))
        client_.listed_anew(entry.watch->mirror().relation, std::exchange(entry.missing, false));
}

void Watcher::count_events(MirrorWatch &watch) noexcept {
    const MirrorWatch::EventCounts counts = watch.take_event_counts();
    for (size_t type = 0; type < counts.size(); ++type)
        if (counts[type] > 0)
            pg_atomic_fetch_add_u64(&counters_.watch_events[type], static_cast<int64>(counts[type]));
}

void Watcher::record(Entry &entry, std::vector<QueuedEvent> events, Milliseconds now) {
    const mirror::Mirror &mirror = entry.watch->mirror();
    EventQueue &queue = entry.watch->queue();
    std::unordered_map<mirror::Key, int, mirror::KeyHash> tries;
    std::unordered_map<mirror::Key, std::chrono::steady_clock::time_point, mirror::KeyHash> arrivals;
    for (const QueuedEvent &event : events) {
        if (auto failed = entry.unrecorded.extract(event.key))
            tries.insert(std::move(failed));
        if (event.since)
            arrivals.emplace(event.key, *event.since);
    }
    Report::Left left = report_.write(mirror, std::move(events), now);
    for (const auto *unrecorded : {&left.busy, &left.failed})
        for (const QueuedEvent &event : *unrecorded)
            arrivals.erase(event.key);
    const auto recorded_at = std::chrono::steady_clock::now();
    for (const auto &[key, since] : arrivals)
        counters_.watch_records.add(std::chrono::duration<double>(recorded_at - since).count());
    entry.watch->note_imported(report_.take_imported());
    for (QueuedEvent &busy : left.busy) {
        entry.busy_until = now + (left.message.empty() ? busy_pause : full_pause);
        if (const auto known = tries.find(busy.key); known != tries.end())
            entry.unrecorded.insert(*known);
        if (!queue.contains(busy.key)) // else there is a newer one
            queue.push(std::move(busy));
    }
    for (const QueuedEvent &failed : left.failed) {
        const int before = tries[failed.key];
        entry.unrecorded[failed.key] = before + 1;
        if (!queue.contains(failed.key))
            entry.watch->look_up(failed.key, failed.uid,
                                 now + (before > 16 ? failed_last : std::min(failed_first << before, failed_last)));
        if (before == 0)
            pg::log("DBNet could not record object \"" + failed.key.text() + "\" of mirror " + mirror.qualified_name +
                        ": " + left.message,
                    "It is tried again; its row stays as it is until then.");
    }
    if (!left.message.empty())
        entry.record_problem = "what objects have become could not be recorded: " + left.message;
    else if (entry.unrecorded.empty())
        entry.record_problem.clear();
}

// Objects that are recorded and that a complete list does not have are gone, however they went; with a selector they
// may only have left it. Those recorded with a newer version came after the list, so the watch tells about them; or the
// store is another one than they were seen in, when the mirror has just begun to ask it. Of those that are recorded to
// be gone, a worker may have ended before their rows were written.
void Watcher::find_absent(Entry &entry) {
    MirrorWatch &watch = *entry.watch;
    uint32_t relation = watch.mirror().relation;
    pg::Result recorded;
    bool has_others = true; // than the list has just brought
    in_report_transaction([&] {
        if (watch.has_imported_all())
            has_others = mirror::count_objects(relation) != static_cast<int64_t>(watch.imported());
        if (!has_others)
            return;
        recorded = pg::execute(select_recorded, Oid{relation}, entry.searched_to.name_space, entry.searched_to.name,
                               absent_batch);
    });
    for (size_t row = 0; row < recorded.rows(); row++) {
        mirror::Key key{relation, std::string(recorded.text(row, 0)), std::string(recorded.text(row, 1))};
        entry.searched_to = key;
        if (watch.is_listed(key) || client_.in_flight(key) || watch.queue().contains(key))
            continue;
        if (recorded.boolean(row, 4)) {
            report_.follow(key, monotonic_now());
            continue;
        }
        std::string uid(recorded.text(row, 2));
        auto order = kubernetes::compare_resource_versions(recorded.text(row, 3), watch.reflector().list_version());
        const bool is_newer = order && *order > 0 && !watch.reflector().is_rewound();
        if (is_newer && !entry.is_new)
            continue;
        if (order && !is_newer && watch.mirror().label_selector.empty())
            watch.queue().push(removed_event(key, uid));
        else
            watch.look_up(key, uid);
    }
    if (!has_others || recorded.rows() < absent_batch) {
        entry.search_absent = false;
        entry.searched_to = {};
        entry.is_new = false;
    }
}

// State --------------------------------------------------------------------------------------------------------------

Watcher::State Watcher::state_of(const Entry &entry) const {
    const mirror::Mirror &mirror = entry.watch->mirror();
    const Reflector &reflector = entry.watch->reflector();
    State state;
    state.state = to_text(reflector.state());
    state.message = reflector.message();
    if (reflector.state() == Reflector::State::synced && !entry.listed)
        state.state = to_text(Reflector::State::starting);
    if (std::string problem = client_.schema_problem(mirror.relation);
        !problem.empty() && reflector.state() == Reflector::State::synced) {
        state.state = to_text(Reflector::State::degraded);
        state.message = std::move(problem);
    }
    if (const std::string problem = entry.record_problem.empty() ? entry.watch->lookup_problem() : entry.record_problem;
        !problem.empty() && reflector.state() == Reflector::State::synced) {
        state.state = to_text(Reflector::State::degraded);
        state.message = problem;
    }
    if (!mirror.connection || !mirror.problem.empty()) {
        state.state = to_text(Reflector::State::degraded);
        state.message = mirror.connection ? mirror.problem : mirror.connection_error;
    }
    if (mirror.is_offline && mirror.problem.empty())
        state.state = "offline";
    if (!catalog_->armed && !catalog_->disarmed_reason.empty()) {
        state.state = "disarmed";
        state.message = catalog_->disarmed_reason;
    } else if (const std::string rival = client_.rival(mirror); !rival.empty()) {
        state.state = "disarmed";
        state.message = rival;
    }
    state.listed = reflector.listed();
    state.expected = reflector.expected();
    state.resource_version = reflector.resource_version();
    state.watch_since = entry.watch->watch_since();
    state.last_event_at = entry.watch->last_event_at();
    return state;
}

// A change of state or message is told at once, progress now and then.
Milliseconds Watcher::state_due(const Entry &entry) const {
    State state = state_of(entry);
    if (state == entry.written)
        return -1;
    bool is_urgent = state.state != entry.written.state || state.message != entry.written.message;
    if (is_urgent)
        return 0;
    return entry.listed ? (entry.written_at / state_interval + 1) * state_interval
                        : entry.written_at + listing_interval;
}

void Watcher::write_state(Entry &entry, Milliseconds now) {
    Milliseconds due = state_due(entry);
    if (due < 0 || due > now)
        return;
    State state = state_of(entry);
    in_report_transaction([&] {
        pg::execute(upsert_state, Oid{entry.watch->mirror().relation}, state.state, text_or_null(state.message),
                    state.listed, state.expected < 0 ? std::nullopt : std::optional(state.expected),
                    text_or_null(state.resource_version), optional_time(state.watch_since),
                    optional_time(state.last_event_at));
    });
    entry.written = std::move(state);
    entry.written_at = now;
}

// For the actuator ---------------------------------------------------------------------------------------------------

bool Watcher::has_listed(uint32_t relation) const {
    auto entry = entries_.find(relation);
    return entry != entries_.end() && entry->second.listed;
}

void Watcher::answered(const mirror::Key &key, const std::string &resource_version, bool row_may_differ) {
    auto entry = entries_.find(key.relation);
    if (entry == entries_.end())
        return;
    entry->second.busy_until = 0;
    entry->second.watch->note_recorded(key, resource_version);
    if (row_may_differ)
        report_.follow(key, monotonic_now());
}

void Watcher::forget(const mirror::Key &key, const std::string &uid) {
    if (auto entry = entries_.find(key.relation); entry != entries_.end())
        entry->second.watch->forget(key, uid);
}

void Watcher::look_up(const mirror::Key &key, const std::string &uid) {
    if (const auto entry = entries_.find(key.relation); entry != entries_.end())
        entry->second.watch->look_up(key, uid);
}

void Watcher::restore(const mirror::Key &key, std::shared_ptr<const mirror::RowDigest> rejected) {
    if (entries_.count(key.relation))
        report_.restore(key, std::move(rejected), monotonic_now());
}

void Watcher::hurry() {
    for (auto &[relation, entry] : entries_)
        entry.watch->hurry();
}

void Watcher::expect_kinds(const std::string &server) {
    for (auto &[relation, entry] : entries_)
        if (entry.watch->mirror().server == server)
            entry.watch->expect_kind();
}

void Watcher::resync(uint32_t relation) {
    if (auto entry = entries_.find(relation); entry != entries_.end())
        entry->second.watch->resync();
}

} // namespace dbnet::bgworker
