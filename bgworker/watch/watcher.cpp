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
// A watch may be behind the store by that much.
constexpr Milliseconds watch_lag = 2'000;
constexpr int stock_retry = 60; // seconds

const pg::Statement select_known{"SELECT resource_version, cluster, repaired FROM dbnet.mirror_state"
                                 " WHERE relation = $1::regclass"};

// After a restore of a dump the mirror's row is not there. The lock: nothing is said of a mirror that is removed at the
// same moment, which one that is made next would find.
const pg::Statement upsert_state{R"sql(
    INSERT INTO dbnet.mirror_state (relation, state, message, listed, expected, resource_version, watch_since, last_event_at,
                                    cluster, repaired)
    SELECT relation, $2, $3, $4, $5, $6, to_timestamp($7), to_timestamp($8), $9, $10
    FROM dbnet.mirrored_relation WHERE relation = $1::regclass FOR KEY SHARE
    ON CONFLICT (relation) DO UPDATE SET
        state = excluded.state, message = excluded.message, listed = excluded.listed, expected = excluded.expected,
        resource_version = excluded.resource_version, watch_since = excluded.watch_since,
        last_event_at = excluded.last_event_at, told_at = excluded.told_at, cluster = excluded.cluster,
        repaired = excluded.repaired
)sql"};

// Of objects that are known to be gone, those whose row may have been left behind.
const pg::Statement select_recorded{
    "SELECT namespace, name, uid, resource_version, live IS NULL FROM dbnet.object WHERE relation = $1::regclass"
    " AND (live IS NOT NULL OR phase IN ('absent', 'report_failed'))"
    " AND (namespace, name) > ($2, $3) ORDER BY namespace, name LIMIT $4"};

// Of what a stocktaking shows, that which is not recorded just so, and how it is recorded.
const pg::Statement select_different{
    "SELECT v.place, o.uid, o.resource_version"
    " FROM unnest($2::text[], $3::text[], $4::text[], $5::text[]) WITH ORDINALITY AS v (namespace, name, uid, "
    "resource_version, place)"
    " LEFT JOIN dbnet.object AS o ON o.relation = $1::regclass AND (o.namespace, o.name) = (v.namespace, v.name)"
    " WHERE (o.uid, o.resource_version, o.live IS NULL) IS DISTINCT FROM (v.uid, v.resource_version, false)"};

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
        std::string known_version, known_cluster;
        Entry entry; // every entry has a watch, also when something here fails
        in_report_transaction([&] {
            const pg::Result known = pg::execute(select_known, Oid{relation});
            if (known.rows() == 0)
                return;
            known_version = known_entry == entries_.end() ? known.text(0, 0) : "";
            known_cluster = known.text(0, 1);
            entry.repaired = known.integer(0, 2);
        });
        entry.watch = std::make_unique<MirrorWatch>(std::move(shared), transport_, std::move(known_version),
                                                    std::move(known_cluster));
        entries_.insert_or_assign(relation, std::move(entry));
    }
}

// The loop -----------------------------------------------------------------------------------------------------------

void Watcher::turn() {
    Milliseconds now = monotonic_now();
    for (auto &[relation, entry] : entries_) {
        entry.watch->turn(now);
        count_events(*entry.watch);
        if (const std::string former = entry.watch->take_former_cluster(); !former.empty()) {
            entry.is_new = true;
            entry.listed = false;
            tell_cluster(entry, former);
        }
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
    store_events(entry, now);
    if (entry.watch->has_complete_list() && entry.search_absent)
        find_absent(entry);
    take_stock(entry, now);
    if (Milliseconds due = report_.due(entry.watch->mirror().relation); due >= 0 && due <= now)
        report_.retry(entry.watch->mirror(), now);
    write_state(entry, now);
}

// The rows of a cluster go to another one from here on: an operator must know.
void Watcher::tell_cluster(const Entry &entry, const std::string &former) {
    const std::string &server = entry.watch->mirror().server, &cluster = entry.watch->cluster();
    if (std::exchange(told_clusters_[server], cluster) == cluster)
        return;
    pg::log("DBNet: server \"" + server +
                "\" leads to another cluster than before: its namespace kube-system has uid " + cluster + ", not " +
                former,
            "What its mirrors show is listed anew. If this was not meant, see dbnet.pause().");
}

// Servers have lost events of watches. From time to time the versions of all that the store has show what was missed.
void Watcher::take_stock(Entry &entry, Milliseconds now) {
    Stocktaking &stock = entry.watch->stocktaking();
    if (settings::compare_interval <= 0 || !entry.listed || !entry.watch->has_complete_list()) {
        stock.stop();
        entry.consistent_at = now;
        entry.took_stock = true;
        return;
    }
    if (stock.is_idle()) {
        if (const Milliseconds due = stock_due(entry); due < 0 || now < due)
            return;
        entry.stock_searched_to = {};
        entry.has_renewed_watch = false;
        entry.stock_begun_at = entry.watch->reflector().resource_version();
        entry.watch->begin_stocktaking();
        return;
    }
    if (stock.state() == Stocktaking::State::page)
        compare_stock(entry, now);
    if (stock.state() == Stocktaking::State::complete) {
        const std::vector<RecordedObject> unlisted = find_unlisted(entry, stock, entry.stock_searched_to);
        for (const RecordedObject &object : unlisted)
            if (!object.is_known_gone)
                suspect(entry, object.key, object.uid, object.resource_version, now);
        if (!entry.stock_searched_to.name.empty())
            return;
    } else if (stock.state() != Stocktaking::State::failed) {
        return;
    }
    entry.took_stock = stock.state() == Stocktaking::State::complete;
    entry.consistent_at = now;
    entry.spread = 0.75 + 0.5 * std::generate_canonical<double, 30>(random_);
    stock.stop();
}

Milliseconds Watcher::stock_due(const Entry &entry) const {
    if (settings::compare_interval <= 0 || !entry.listed || !entry.watch->reflector().is_watching() ||
        !entry.watch->stocktaking().is_idle())
        return -1;
    const int interval =
        entry.took_stock ? settings::compare_interval : std::min(settings::compare_interval, stock_retry);
    return entry.consistent_at + static_cast<Milliseconds>(1000.0 * interval * entry.spread);
}

void Watcher::compare_stock(Entry &entry, Milliseconds now) {
    MirrorWatch &watch = *entry.watch;
    Stocktaking &stock = watch.stocktaking();
    // The watch goes on where the store has not been: it would stay silent, or tell of a history that is not.
    const auto order = kubernetes::compare_resource_versions(stock.list_version(), entry.stock_begun_at);
    if (order && *order < 0) {
        stock.stop();
        return watch.resync();
    }
    std::vector<std::string> name_spaces, names, uids, versions;
    for (const Stocktaking::Item &item : stock.page()) {
        name_spaces.push_back(item.key.name_space);
        names.push_back(item.key.name);
        uids.push_back(item.uid);
        versions.push_back(item.resource_version);
    }
    in_report_transaction([&] {
        const pg::Result different =
            pg::execute(select_different, Oid{watch.mirror().relation}, name_spaces, names, uids, versions);
        for (size_t row = 0; row < different.rows(); row++) {
            const Stocktaking::Item &item = stock.page()[static_cast<size_t>(different.integer(row, 0)) - 1];
            suspect(entry, item.key, different.at(row, 1) ? std::string(different.text(row, 1)) : item.uid,
                    std::string(different.text(row, 2)), now);
        }
    });
    stock.next();
}

// The object is not recorded as the store has it. When the watch does not tell why, it has missed it.
void Watcher::suspect(Entry &entry, const mirror::Key &key, const std::string &uid, const std::string &recorded_version,
                      Milliseconds now) {
    MirrorWatch &watch = *entry.watch;
    const std::string &list_version = watch.stocktaking().list_version();
    const auto order = kubernetes::compare_resource_versions(recorded_version, list_version);
    if ((order && *order > 0) || client_.in_flight(key) || watch.queue().contains(key) || watch.looks_up(key))
        return;
    watch.look_up({key, uid, list_version}, now + watch_lag);
}

bool Watcher::has_events(const Entry &entry) const {
    return !entry.watch->queue().empty();
}

int Watcher::timeout_ms() const {
    Milliseconds now = monotonic_now(), next = -1;
    for (const auto &[relation, entry] : entries_) {
        next = earlier(next, entry.watch->due());
        const Stocktaking::State stock = entry.watch->stocktaking().state();
        Milliseconds ours = earlier(earlier(report_.due(relation), state_due(entry)), stock_due(entry));
        if (has_events(entry) || (entry.search_absent && entry.watch->has_complete_list()) ||
            (stock != Stocktaking::State::idle && stock != Stocktaking::State::waiting))
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
    if (left.repaired > 0) {
        entry.repaired += static_cast<int64_t>(left.repaired);
        if (!std::exchange(entry.has_renewed_watch, true))
            entry.watch->renew_watch();
    }
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
            entry.watch->look_up({failed.key, failed.uid, "", failed.resource_version},
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

// The next of the recorded objects that the list does not have; `searched_to` is empty again after the last. Of those
// that are recorded to be gone, a worker may have ended before their rows were written.
template<class List>
std::vector<Watcher::RecordedObject> Watcher::find_unlisted(Entry &entry, const List &list, mirror::Key &searched_to) {
    const uint32_t relation = entry.watch->mirror().relation;
    std::vector<RecordedObject> unlisted;
    in_report_transaction([&] {
        const pg::Result recorded =
            pg::execute(select_recorded, Oid{relation}, searched_to.name_space, searched_to.name, absent_batch);
        for (size_t row = 0; row < recorded.rows(); row++) {
            searched_to = {relation, std::string(recorded.text(row, 0)), std::string(recorded.text(row, 1))};
            if (!list.is_listed(searched_to) && !client_.in_flight(searched_to) &&
                !entry.watch->queue().contains(searched_to))
                unlisted.push_back({searched_to, std::string(recorded.text(row, 2)), std::string(recorded.text(row, 3)),
                                    recorded.boolean(row, 4)});
        }
        if (recorded.rows() < absent_batch)
            searched_to = {};
    });
    return unlisted;
}

// Objects that are recorded and that a complete list does not have are gone, however they went; with a selector they
// may only have left it.
void Watcher::find_absent(Entry &entry) {
    MirrorWatch &watch = *entry.watch;
    bool has_others = true; // than the list has just brought
    if (watch.has_imported_all())
        in_report_transaction([&] {
            has_others = mirror::count_objects(watch.mirror().relation) != static_cast<int64_t>(watch.imported());
        });
    const ListFacts list{watch.reflector().list_version(), watch.reflector().is_rewound(), entry.is_new,
                         !watch.mirror().label_selector.empty()};
    if (has_others)
        for (const RecordedObject &object : find_unlisted(entry, watch, entry.searched_to)) {
            if (object.is_known_gone) {
                report_.follow(object.key, monotonic_now());
                continue;
            }
            const Unlisted what = judge_unlisted(object.resource_version, list);
            if (what == Unlisted::gone)
                watch.queue().push(removed_event(object.key, object.uid));
            else if (what == Unlisted::unknown)
                watch.look_up({object.key, object.uid});
        }
    else
        entry.searched_to = {};
    if (entry.searched_to.name.empty()) {
        entry.search_absent = false;
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
    state.cluster = entry.watch->cluster();
    state.repaired = entry.repaired;
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
                    optional_time(state.last_event_at), text_or_null(state.cluster), state.repaired);
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

void Watcher::await_version(const mirror::Key &key, const std::string &resource_version) {
    if (auto entry = entries_.find(key.relation); entry != entries_.end())
        entry->second.watch->await_version(key, resource_version);
}

void Watcher::forget(const mirror::Key &key, const std::string &uid) {
    if (auto entry = entries_.find(key.relation); entry != entries_.end())
        entry->second.watch->forget(key, uid);
}

void Watcher::look_up(const mirror::Key &key, const std::string &uid) {
    if (const auto entry = entries_.find(key.relation); entry != entries_.end())
        entry->second.watch->look_up({key, uid});
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
