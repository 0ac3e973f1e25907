// Who holds a server's Lease. Pure C++; mirror worker.
#include "bgworker/actuation/lease_keeper.hpp"

#include <algorithm>

#include "pg/no_postgres.hpp"

namespace dbnet::bgworker {

namespace {

constexpr int64_t retry_ms = 1000;
constexpr const char *until_claimed = "; nothing is sent to any device until somebody calls dbnet.claim()";

std::string unknown_position(const std::string &position) {
    return "had written up to " + position + ", when that was not in the log of this one";
}

} // namespace

void LeaseKeeper::configure(Self self, int64_t duration_ms, int64_t now_ms) {
    if (self == self_ && duration_ms == duration_ms_)
        return;
    const bool is_same_instance = self.identity == self_.identity;
    if (self.claims && self.term > self_.term) {
        is_just_claimed_ = true;
        rival_.clear();
    }
    self_ = std::move(self);
    duration_ms_ = duration_ms;
    is_older_copy_ = false;
    if (!is_same_instance)
        renewed_ms_ = -1;
    if (!asking_) {
        action_ = Action::read;
        wait(now_ms);
    }
}

LeaseKeeper::Action LeaseKeeper::next(int64_t now_ms) {
    if (asking_ || now_ms < due_ms_)
        return Action::none;
    asking_ = true;
    asked_ms_ = now_ms;
    return action_;
}

void LeaseKeeper::on_absent(int64_t now_ms) {
    lease_.reset();
    renewed_ms_ = -1;
    rival_.clear();
    is_older_copy_ = false;
    if (stay_older_copy(now_ms))
        return;
    action_ = Action::create;
    wait(now_ms);
}

// Whatever became of the Lease.
bool LeaseKeeper::stay_older_copy(int64_t now_ms) {
    if (self_.older_than.empty())
        return false;
    is_older_copy_ = true;
    unavailable_.clear();
    rival_ =
        "this database is an older copy: another server of it " + unknown_position(self_.older_than) + until_claimed;
    action_ = Action::read;
    wait(now_ms + duration_ms_ / 3);
    return true;
}

void LeaseKeeper::on_read(kubernetes::Lease &&lease, const std::string &news, int64_t now_ms) {
    is_just_claimed_ = false;
    const std::string doubt = news.empty() && !self_.older_than.empty() ? unknown_position(self_.older_than) : news;
    unavailable_.clear();
    refusal_.clear();
    failure_.clear();
    is_older_copy_ = false;
    const bool is_ours = lease.holder == self_.identity;
    const bool is_news =
        !lease_ || lease_->resource_version != lease.resource_version || lease_->holder != lease.holder;
    if (is_news) {
        first_seen_ms_ = now_ms;
        is_holder_alive_ = lease_.has_value();
    }
    lease_ = std::move(lease);
    const bool is_claimed = self_.claims && self_.term > lease_->term;
    const int64_t theirs_ms = std::clamp<int64_t>(lease_->duration_s, 1, 3600) * 1000;
    const bool is_over = is_ours || lease_->holder.empty() || now_ms - first_seen_ms_ >= theirs_ms;
    action_ = Action::renew;
    rival_.clear();
    if (is_claimed || (is_over && doubt.empty()))
        return wait(now_ms);
    renewed_ms_ = -1;
    action_ = Action::read;
    const std::string name = "lease " + kubernetes::key_of(*lease_);
    is_older_copy_ = !doubt.empty();
    if (is_older_copy_)
        rival_ = "this database is an older copy: " + lease_->holder + ", which last held " + name + ", " + doubt +
                 until_claimed;
    else
        rival_ = lease_->holder + ", another server of this database, writes to the cluster: it holds " + name +
                 ", renewed at " + lease_->renewed + "; nothing is sent from here until it has ended for " +
                 std::to_string(theirs_ms / 1000) + " s, or somebody calls dbnet.claim()";
    const int64_t end_ms = first_seen_ms_ + theirs_ms;
    wait(!is_older_copy_ ? std::clamp(end_ms, now_ms + 100, now_ms + std::max<int64_t>(theirs_ms / 6, 100))
                         : now_ms + duration_ms_ / 3);
}

void LeaseKeeper::on_written(kubernetes::Lease &&lease, int64_t now_ms) {
    lease_ = std::move(lease);
    renewed_ms_ = asked_ms_;
    rival_.clear();
    unavailable_.clear();
    refusal_.clear();
    refused_ms_ = -1;
    failure_.clear();
    action_ = Action::renew;
    wait(std::max(now_ms, asked_ms_ + duration_ms_ / 3));
}

void LeaseKeeper::on_overtaken(int64_t now_ms) {
    action_ = Action::read;
    wait(now_ms);
}

void LeaseKeeper::on_unavailable(const std::string &message, bool for_good, int64_t now_ms) {
    // Another holder goes on writing, whatever we may read; and what was ours for a time may be another's after it.
    if (!rival_.empty() || (lease_ && !is_just_claimed_))
        return on_failure(message, now_ms);
    lease_.reset();
    renewed_ms_ = -1;
    failure_.clear();
    if (stay_older_copy(now_ms))
        return;
    if (refused_ms_ < 0)
        refused_ms_ = now_ms;
    refusal_ = message;
    if (for_good || is_just_claimed_ || now_ms - refused_ms_ >= duration_ms_ / 3)
        unavailable_ = message;
    action_ = Action::read;
    wait(now_ms + (unavailable_.empty() ? std::min(retry_ms, duration_ms_ / 6) : duration_ms_ / 6));
}

void LeaseKeeper::on_failure(const std::string &message, int64_t now_ms) {
    failure_ = message;
    refused_ms_ = -1;
    action_ = Action::read; // a renewal may have been done all the same
    wait(now_ms + std::min(retry_ms, duration_ms_ / 6));
}

std::string LeaseKeeper::closed_reason(int64_t now_ms) const {
    if (!unavailable_.empty() || (renewed_ms_ >= 0 && now_ms < renewed_ms_ + duration_ms_ / 3 * 2))
        return {};
    if (!rival_.empty())
        return "disarmed: " + rival_;
    if (!failure_.empty())
        return "the server's lease could not be taken or renewed: " + failure_;
    return "waits for the server's lease" + (refusal_.empty() ? "" : ": " + refusal_);
}

} // namespace dbnet::bgworker
