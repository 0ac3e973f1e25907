// The actuator's shape: what it takes in, when it acts (see actuator.hpp). Mirror worker.
#include "bgworker/actuation/actuator.hpp"

#include <algorithm>
#include <chrono>

#include "mirror/decision/kind_rank.hpp"
#include "mirror/decision/merge.hpp"
#include "settings.hpp"

namespace dbnet::bgworker {

int64_t monotonic_ms() {
    return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

Actuator::Actuator(kubernetes::Transport &transport, ActuatorClient &client)
    : transport_(transport), client_(client), queue_([this](uint32_t relation) {
          const mirror::Mirror *mirror = catalog_->find(relation);
          return mirror ? lane_name(*mirror) : std::string();
      }) {}

bool needs_live(const mirror::Mirror &mirror) {
    if (!mirror.settings.selector.matches_all())
        return true;
    const auto &columns = mirror.mapping.columns;
    return std::any_of(columns.begin(), columns.end(), [&](const mirror::Column &column) {
        const mirror::OnDrift on_drift = mirror::on_drift_of(mirror, column);
        return column.role != mirror::Role::key && column.role != mirror::Role::status &&
               (on_drift == mirror::OnDrift::enforce || on_drift == mirror::OnDrift::seed);
    });
}

std::string Actuator::lane_name(const mirror::Mirror &mirror) {
    return mirror.server + '\n' + std::to_string(mirror.owner);
}

void Actuator::configure(std::shared_ptr<const mirror::Catalog> catalog) {
    catalog_ = std::move(catalog);
    queue_.drop([&](const Entry &entry) {
        return !catalog_->find(entry.key.relation) && entry.state != Entry::State::in_flight;
    });
    // What was decided under the old configuration is decided again; other credentials may do better.
    for (auto &[name, lane] : lanes_) {
        lane.prepared.clear();
        if (!lane.overloaded)
            lane.closed_until_ms = 0;
    }
    queue_.for_each([&](Entry &entry) {
        if (entry.state != Entry::State::prepared)
            return;
        drop_plan(entry.key);
        queue_.redo(entry);
    });
    queue_.line_up();
    std::erase_if(outdated_, [&](const auto &known) {
        const mirror::Mirror *mirror = catalog_->find(known.first);
        return !mirror || mirror->generation != known.second.generation;
    });
    std::vector<mirror::Key> left;
    for (const auto &[key, plan] : plans_)
        if (queue_.find(key) == nullptr)
            left.push_back(key);
    for (const mirror::Key &key : left)
        drop_plan(key);
    totals_.clear();
    std::erase_if(paces_, [&](const auto &known) { return !catalog_->find(known.first); });
}

void Actuator::take(const Commit &commit) {
    struct Folded {
        size_t order;
        char operation;
        bool replaced;
        uint64_t event; // of the newest change
        uint32_t role;  // likewise
    };
    std::unordered_map<mirror::Key, Folded, mirror::KeyHash> keys;
    for (const capture::Change &change : commit.changes) {
        const bool is_look = change.operation == 'A';
        if (change.operation != 'I' && change.operation != 'U' && change.operation != 'D' && !is_look)
            continue;
        if (!catalog_->find(change.relation))
            continue;
        const auto [found, is_new] =
            keys.try_emplace({change.relation, change.name_space, change.name},
                             Folded{keys.size(), change.operation, false, change.event, change.role});
        if (is_new || is_look)
            continue;
        Folded &folded = found->second;
        folded.event = change.event;
        folded.role = change.role;
        folded.replaced |= folded.operation == 'D' && change.operation == 'I';
        if (folded.operation != 'I' || change.operation == 'D') // inserted and updated is inserted
            folded.operation = change.operation;
    }
    if (keys.empty())
        return;

    std::vector<Wanted> wanted(keys.size());
    auto extent = std::make_shared<Extent>();
    for (const auto &[key, folded] : keys) {
        const mirror::Mirror &mirror = *catalog_->find(key.relation);
        const bool remove = folded.operation == 'D';
        if (remove)
            extent->removes[key.relation]++;
        else if (folded.operation == 'U' || folded.operation == 'A' || folded.replaced)
            extent->updates[key.relation]++;
        wanted[folded.order] = {key,
                                remove,
                                folded.replaced,
                                remove ? mirror::remove_rank(mirror.resource.group, mirror.resource.kind)
                                       : mirror::apply_rank(mirror.resource.group, mirror.resource.kind),
                                folded.event,
                                folded.operation == 'A' ? 0 : folded.role};
    }
    queue_.take(wanted, {commit.xid, commit.lsn, 0, commit.role, 0}, std::move(extent), monotonic_ms());
}

void Actuator::take_compared(std::span<const Wanted> wanted, std::shared_ptr<const Extent> extent) {
    // Ranks are of no account here: what fails must not keep everything else that a compare found from going.
    std::vector<Wanted> level(wanted.begin(), wanted.end());
    for (Wanted &one : level)
        one.rank = 0;
    queue_.take(level, {}, std::move(extent), monotonic_ms());
}

void Actuator::touch(const mirror::Key &key, const std::string &gone_uid) {
    if (catalog_->find(key.relation))
        queue_.touch(key, gone_uid, monotonic_ms());
}

void Actuator::server_answers(const mirror::Mirror &mirror) {
    const auto lane = lanes_.find(lane_name(mirror));
    if (lane != lanes_.end() && !lane->second.overloaded)
        lane->second.closed_until_ms = 0; // one request goes first, and the others when it is answered
}

void Actuator::hurry() {
    for (auto &[name, lane] : lanes_)
        if (!lane.overloaded)
            lane.closed_until_ms = 0;
}

void Actuator::note_report(const mirror::Key &key) {
    if (const auto plan = plans_.find(key); plan != plans_.end())
        plan->second.is_base_old = true;
}

void Actuator::note_emptied(uint32_t relation) {
    for (auto &[key, plan] : plans_)
        if (key.relation == relation)
            plan.is_base_old = true;
    const mirror::Mirror *mirror = catalog_->find(relation);
    for (Finished &one : finished_) {
        if (one.write.key.relation != relation || !mirror)
            continue;
        one.row_may_differ = true;
        for (const mirror::Column &column : mirror->mapping.columns)
            if (column.role == mirror::Role::key)
                one.write.base.erase(column.path);
    }
}

void Actuator::forget_committers(std::optional<uint32_t> relation) {
    queue_.for_each([&](Entry &entry) {
        if (!relation || entry.key.relation == *relation)
            entry.cause.committer = 0; // it is looked up
    });
}

bool Actuator::in_flight(const mirror::Key &key) {
    const Entry *entry = queue_.find(key);
    return entry && (entry->state == Entry::State::in_flight || entry->state == Entry::State::finished);
}

std::string Actuator::schema_problem(uint32_t relation) const {
    const auto known = outdated_.find(relation);
    const mirror::Mirror *mirror = catalog_->find(relation);
    if (known == outdated_.end() || !mirror)
        return {};
    std::string paths;
    for (const std::string &path : known->second.paths)
        paths += (paths.empty() ? "" : ", ") + path;
    return "the schema of kind " + mirror->resource.kind + " has changed, and rows that set " + paths +
           " wait: " + known->second.message + ". SELECT * FROM dbnet.refresh_schema('" + mirror->qualified_name +
           "'); tells what has changed";
}

std::string Actuator::closed_reason(const mirror::Mirror &mirror) const {
    if (!catalog_->armed)
        return "disarmed: " + catalog_->disarmed_reason;
    if (!settings::actuate)
        return "dbnet.actuate is off";
    if (!mirror.paused_reason.empty())
        return "paused: " + mirror.paused_reason;
    if (!mirror.connection)
        return mirror.connection_error;
    return client_.lease_closed_reason(mirror);
}

size_t Actuator::room(const Lane &lane, int64_t now_ms) const {
    if (now_ms < lane.closed_until_ms)
        return 0;
    // After a failure one request tries whether the server is back.
    const size_t allowed = lane.failures > 0 ? 1 : lane.window.size(settings::requests_in_flight);
    return allowed > lane.in_flight ? allowed - lane.in_flight : 0;
}

bool Actuator::is_full(const Lane &lane) {
    return lane.bytes >= most_plan_bytes && (lane.in_flight > 0 || !lane.prepared.empty());
}

void Actuator::keep_plan(const mirror::Key &key, Plan &&plan) {
    drop_plan(key);
    const Plan &kept = plans_.emplace(key, std::move(plan)).first->second;
    lanes_[kept.lane].bytes += kept.bytes;
}

void Actuator::drop_plan(const mirror::Key &key) {
    const auto found = plans_.find(key);
    if (found == plans_.end())
        return;
    lanes_[found->second.lane].bytes -= found->second.bytes;
    plans_.erase(found);
}

void Actuator::turn() {
    int64_t now_ms = monotonic_ms();
    queue_.advance(now_ms);
    send_prepared(now_ms);
    record_waiting(now_ms);
    if (wants_transaction(now_ms)) {
        std::vector<Entry *> batch = take_batch(now_ms);
        run_transaction(batch, now_ms);
        send_prepared(monotonic_ms());
    }
}

int Actuator::timeout_ms() const {
    const int64_t now_ms = monotonic_ms();
    if (wants_transaction(now_ms) || !writes_.empty())
        return 0;
    int64_t timeout = queue_.next_due_ms(now_ms);
    const auto consider = [&](int64_t at_ms) {
        const int64_t left = std::max<int64_t>(at_ms - now_ms, 1);
        timeout = timeout < 0 ? left : std::min(timeout, left);
    };
    if (!finished_.empty())
        consider(oldest_finished_ms_ + 10);
    if (!unlogged_.empty())
        consider(unlogged_due_ms_);
    if (queue_.size() > 0)
        consider(recording_due_ms());
    for (const auto &[name, lane] : lanes_)
        if (lane.closed_until_ms > now_ms && (queue_.has_ready(name) || !lane.prepared.empty()))
            consider(lane.closed_until_ms);
    return static_cast<int>(std::min<int64_t>(timeout, 60'000));
}

} // namespace dbnet::bgworker
