// How much a transaction, a compare or a minute changes at once, and whether that is held for somebody to decide (see
// actuator.hpp and mirror/decision/mass_change.hpp). Mirror worker.
#include "bgworker/actuation/actuator.hpp"
#include "settings.hpp"

namespace dbnet::bgworker {

mirror::HoldLimits hold_limits() {
    return {settings::hold_objects, settings::hold_minimum, settings::hold_percent};
}

int64_t Actuator::total_of(uint32_t relation, int64_t now_ms) {
    Total &total = totals_[relation];
    if (total.counted_ms == 0 || now_ms - total.counted_ms > 10'000)
        total = {mirror::count_objects(relation), now_ms};
    return total.count;
}

// Between two counts the number is kept up: a share of what was there before would hold too little or too much.
void Actuator::note_total(uint32_t relation, int change) {
    const auto total = totals_.find(relation);
    if (total != totals_.end())
        total->second.count += change;
}

// Why a transaction (or compare) is held as a whole; empty: it is not.
std::string Actuator::extent_reason(const Entry &entry, const mirror::Mirror &mirror, bool remove, int64_t now_ms) {
    if (!entry.extent)
        return {};
    const mirror::HoldLimits limits = hold_limits();
    const auto change = remove ? mirror::ChangeClass::remove : mirror::ChangeClass::update;
    const auto &counts = remove ? entry.extent->removes : entry.extent->updates;
    const auto found = counts.find(mirror.relation);
    const int64_t changed = found == counts.end() ? 0 : found->second;
    const int64_t total = changed >= limits.minimum ? total_of(mirror.relation, now_ms) : 0;
    const std::string who =
        entry.extent->is_compare ? "a compare" : "transaction " + std::to_string(entry.cause.transaction);
    return mirror::mass_change_reason(who, change, changed, total, limits);
}

std::string Actuator::mass_reason(const Entry &entry, const mirror::Mirror &mirror, bool remove, int64_t now_ms) {
    if (std::string reason = extent_reason(entry, mirror, remove, now_ms); !reason.empty())
        return reason;
    const mirror::HoldLimits limits = hold_limits();
    const auto change = remove ? mirror::ChangeClass::remove : mirror::ChangeClass::update;
    mirror::MassChangeGate &gate = gates_[mirror.relation];
    const int64_t total = gate.counted(change) + 1 >= limits.minimum ? total_of(mirror.relation, now_ms) : 0;
    if (!gate.admit(change, entry.key.text(), total, limits, now_ms))
        return std::string("one more object in a minute that ") + (remove ? "deletes" : "updates") + " too many" +
               mirror::limits_text(limits);
    return {};
}

} // namespace dbnet::bgworker
