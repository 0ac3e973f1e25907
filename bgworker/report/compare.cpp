// Slices of the compare (see compare.hpp). Mirror worker.
#include "bgworker/report/compare.hpp"

#include <algorithm>

#include "mirror/decision/merge.hpp"
#include "pg/spi.hpp"
#include "settings.hpp"

namespace dbnet::bgworker {

using mirror::Action;
using mirror::Phase;

namespace {

bool has_failed_for_good(Phase phase) {
    return phase == Phase::conflict || phase == Phase::invalid || phase == Phase::denied || phase == Phase::stale;
}

} // namespace

void Compare::configure(std::shared_ptr<const mirror::Catalog> catalog) {
    catalog_ = std::move(catalog);
    std::erase_if(jobs_, [&](const auto &job) { return !catalog_->find(job.first); });
    std::erase_if(generations_, [&](const auto &known) { return !catalog_->find(known.first); });
    std::erase_if(paces_, [&](const auto &pace) { return !catalog_->find(pace.first); });
    for (const auto &[relation, mirror] : catalog_->mirrors) {
        const auto [known, is_new] = generations_.try_emplace(relation, mirror.generation);
        if (is_new || known->second != mirror.generation || !is_ready(mirror)) {
            known->second = mirror.generation;
            request(relation, true);
        }
    }
}

void Compare::request(uint32_t relation, bool thorough) {
    if (!catalog_->find(relation))
        return;
    Job &job = jobs_[relation];
    job.thorough |= thorough;
    job.again |= job.running;
}

void Compare::request_all(bool thorough) {
    for (const auto &[relation, mirror] : catalog_->mirrors)
        request(relation, thorough);
}

bool Compare::is_ready(const mirror::Mirror &mirror) const {
    if (!mirror.problem.empty())
        return false;
    return mirror.is_offline || (client_.has_listed(mirror.relation) && actuator_.closed_reason(mirror).empty());
}

std::vector<uint32_t> Compare::pending() const {
    std::vector<uint32_t> relations;
    for (const auto &[relation, job] : jobs_) {
        const mirror::Mirror &mirror = *catalog_->find(relation);
        const bool is_soon = actuator_.closed_reason(mirror).empty() || actuator_.is_awaited(mirror);
        if (mirror.settings.manage && (is_soon || is_ready(mirror)))
            relations.push_back(relation);
    }
    return relations;
}

bool Compare::step() {
    for (auto &[relation, job] : jobs_) {
        const mirror::Mirror &mirror = *catalog_->find(relation);
        if (!is_ready(mirror) || monotonic_ms() < job.not_before_ms)
            continue;
        try {
            job.running = true;
            step_job(job, mirror);
        } catch (const std::exception &caught) {
            client_.note_error("compare of " + mirror.qualified_name + ": " + caught.what());
            job.not_before_ms = monotonic_ms() + std::max<int64_t>(backoff_ms(++job.failures, 0.5), 1000);
            continue; // another mirror's compare goes on
        }
        job.failures = 0;
        if (job.rows_done && !job.last_key)
            finish(relation, job);
        return true;
    }
    return false;
}

// What cannot be read together is read in smaller slices.
void Compare::step_job(Job &job, const mirror::Mirror &mirror) {
    Paces &paces = paces_[mirror.relation];
    ReadPace &pace = job.rows_done ? paces.keys : paces.places;
    const size_t together = pace.together();
    const int64_t begun_ms = monotonic_ms();
    try {
        size_t bytes = 0;
        pg::in_transaction(
            [&] { bytes = job.rows_done ? step_keys(job, mirror, together) : step_rows(job, mirror, together); });
        pace.on_success(together, bytes, monotonic_ms() - begun_ms, settings::report_statement_timeout);
    } catch (const std::exception &caught) {
        if (!is_rows_fault(caught))
            throw;
        pace.on_failure(together);
        if (jobs_.size() > 1) // as long again for the compares of other mirrors
            job.not_before_ms = 2 * monotonic_ms() - begun_ms;
        if (together == 1)
            pg::in_transaction([&] { leave_to_actuator(job, mirror); });
    }
}

// A row that cannot be read: whoever decides about it says so in its record.
void Compare::leave_to_actuator(Job &job, const mirror::Mirror &mirror) {
    const std::vector<mirror::Key> keys = job.rows_done ? mirror::load_pending_keys(mirror.relation, &*job.last_key, 1)
                                                        : mirror::read_slice_keys(mirror, job.next_place, 1);
    for (const mirror::Key &key : keys)
        job.found.push_back({key, false, false, 0});
    if (!job.rows_done)
        job.next_place++;
    else
        job.last_key = keys.empty() ? std::nullopt : std::optional(keys.back());
}

size_t Compare::step_rows(Job &job, const mirror::Mirror &mirror, size_t together) {
    // Under observe no row asks for anything.
    size_t bytes = 0;
    if (mirror.settings.manage) {
        Rows rows;
        for (auto &[key, fields] : mirror::read_slice(mirror, job.next_place, together))
            rows.emplace_back(std::move(key), std::move(fields));
        bytes = examine(job, mirror, rows);
        job.next_place += together;
        if (job.next_place < mirror::count_places(mirror))
            return bytes;
    }
    job.rows_done = true;
    job.last_key = mirror::Key{mirror.relation, {}, {}};
    return bytes;
}

size_t Compare::step_keys(Job &job, const mirror::Mirror &mirror, size_t together) {
    const std::vector<mirror::Key> keys = mirror::load_pending_keys(mirror.relation, &*job.last_key, together);
    std::vector<std::optional<mirror::RowFields>> fields = mirror::read_rows(mirror, keys);
    Rows rows;
    for (size_t i = 0; i < keys.size(); i++)
        rows.emplace_back(keys[i], std::move(fields[i]));
    const size_t bytes = examine(job, mirror, rows);
    job.last_key = keys.empty() ? std::nullopt : std::optional(keys.back());
    return bytes;
}

size_t Compare::examine(Job &job, const mirror::Mirror &mirror, const Rows &rows) {
    std::vector<mirror::Key> keys;
    for (const auto &[key, fields] : rows)
        keys.push_back(key);
    const std::vector<mirror::StoredObject> stored = mirror::load_objects(keys, needs_live(mirror));
    size_t bytes = 0;
    for (size_t i = 0; i < rows.size(); i++) {
        const std::optional<mirror::RowFields> &fields = rows[i].second;
        bytes += fields ? fields->bytes : 0;
        mirror::Situation situation;
        situation.mapping = &mirror.mapping;
        situation.settings = &mirror.settings;
        situation.name = keys[i].name;
        situation.row = fields ? &*fields : nullptr;
        situation.object = stored[i].object ? &*stored[i].object : nullptr;
        situation.tombstone = stored[i].tombstone ? &*stored[i].tombstone : nullptr;
        situation.releases = &stored[i].releases;
        situation.adopted = &stored[i].adopted;
        situation.hold = (fields ? stored[i].apply_hold : stored[i].delete_hold).decision;
        if (fields && situation.object && mirror::is_import_under_way(mirror.mapping, *situation.object)) {
            job.found.push_back({keys[i], false, false, 0});
            continue;
        }
        const mirror::Decision decision = mirror::decide(situation);
        const Phase phase = situation.object ? situation.object->phase : Phase::none;
        // A held change whose row is as it was again holds no more; nor is a row that is there again deleted.
        const bool is_back = fields && situation.tombstone && mirror.settings.manage;
        const bool is_known = (decision.action == Action::nothing && phase != Phase::held) ||
                              (phase == decision.phase && !is_waiting(phase) && decision.action != Action::forget) ||
                              (has_failed_for_good(phase) && !job.thorough);
        if (is_known && !is_waiting(phase) && !is_back)
            continue;
        // Once: of a row that waits, the rows tell and then the keys on record.
        if (decision.action == Action::update && job.counted.insert(keys[i]).second)
            job.extent.updates[mirror.relation]++;
        if (decision.action == Action::remove && job.counted.insert(keys[i]).second)
            job.extent.removes[mirror.relation]++;
        job.found.push_back({keys[i], !fields, false, 0});
    }
    return bytes;
}

void Compare::finish(uint32_t relation, Job &job) {
    job.extent.is_compare = true;
    // A key may have been seen twice: its row moved, or it has a tombstone besides.
    std::sort(job.found.begin(), job.found.end(), [](const Wanted &a, const Wanted &b) { return a.key < b.key; });
    const auto repeated = std::unique(job.found.begin(), job.found.end(),
                                      [](const Wanted &a, const Wanted &b) { return a.key == b.key; });
    job.found.erase(repeated, job.found.end());
    actuator_.take_compared(job.found, std::make_shared<Extent>(std::move(job.extent)));
    const bool again = job.again;
    const bool thorough = job.thorough;
    jobs_.erase(relation);
    if (again)
        request(relation, thorough);
}

} // namespace dbnet::bgworker
