// Fights over fields (see fights.hpp). Pure C++; mirror worker.
#include "bgworker/actuation/fights.hpp"

#include <algorithm>

#include "pg/no_postgres.hpp"

namespace dbnet::bgworker {

namespace {

constexpr size_t most_reverts = 5; // within …
constexpr int64_t minute_ms = 60'000;
constexpr int64_t first_delay_ms = 1'000, last_delay_ms = 60'000;

} // namespace

int64_t Fights::wait_ms(const mirror::Key &key, const std::string &manager, int64_t now_ms) {
    forget_old(now_ms);
    const auto found = fights_.find(key);
    if (found == fights_.end() || found->second.manager != manager)
        return 0;
    const Fight &fight = found->second;
    return std::max<int64_t>(fight.recent_ms.back() + fight.delay_ms - now_ms, 0);
}

void Fights::resume(const mirror::Key &key, const std::string &manager, int reverts, int64_t now_ms) {
    const auto [fight, is_new] = fights_.try_emplace(key);
    if (!is_new)
        return;
    const int doublings = std::clamp(reverts - static_cast<int>(most_reverts), 0, 6);
    fight->second = {manager, {now_ms}, reverts, std::min(first_delay_ms << doublings, last_delay_ms)};
}

void Fights::note_revert(const mirror::Key &key, const std::string &manager, int64_t now_ms) {
    Fight &fight = fights_[key];
    if (fight.manager != manager)
        fight = {manager, {}, 0, 0};
    std::erase_if(fight.recent_ms, [&](int64_t at_ms) { return at_ms <= now_ms - minute_ms; });
    fight.recent_ms.push_back(now_ms);
    fight.reverts++;
    if (fight.delay_ms > 0)
        fight.delay_ms = std::min(2 * fight.delay_ms, last_delay_ms);
    else if (fight.recent_ms.size() >= most_reverts)
        fight.delay_ms = first_delay_ms;
}

int Fights::reverts(const mirror::Key &key) const {
    const auto found = fights_.find(key);
    return found == fights_.end() ? 0 : found->second.reverts;
}

// Quiet is a minute in which nothing had to be put back, though it might have been.
void Fights::forget_old(int64_t now_ms) {
    const auto is_over = [&](const Fight &fight) {
        return fight.recent_ms.back() + fight.delay_ms + minute_ms <= now_ms;
    };
    if (now_ms - cleaned_ms_ < 1'000)
        return;
    cleaned_ms_ = now_ms;
    std::erase_if(fights_, [&](const auto &entry) { return is_over(entry.second); });
}

} // namespace dbnet::bgworker
