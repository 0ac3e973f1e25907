// One server's Lease as a state machine: what to ask next, and whether this instance may write to the server now. Pure
// C++ without I/O or clock; mirror worker.
//
// The holder renews every third of the duration and counts itself as the holder for two thirds after the renewal was
// sent; others wait the whole duration after the last renewal they have seen, so that clocks need not agree. Who takes
// a Lease over must know all that its holder had written to its log: otherwise it is an older copy, and somebody has to
// say that it is to go on (dbnet.claim).
//
// Where there are no Leases, or none for our credentials, nobody is kept from writing, as nobody could be. A server
// that is just starting refuses what it allows a moment later, though: a refusal counts once it has lasted, and never
// against a Lease that was held or seen.
#pragma once

#include "kubernetes/lease.hpp"

#include <cstdint>
#include <optional>
#include <string>

namespace dbnet::bgworker {

class LeaseKeeper {
public:
    enum class Action { none, read, create, renew };

    // Who we are, and what dbnet.claim() was called for last: `claims` when it was called on this instance;
    // `older_than` what a holder had written that we did not know then (an LSN with its log's name): until a claim.
    struct Self {
        std::string identity;
        int64_t term = 0;
        bool claims = false;
        std::string older_than = {};

        bool operator==(const Self &) const = default;
    };

    LeaseKeeper(Self self, int64_t duration_ms) : self_(std::move(self)), duration_ms_(duration_ms) {}
    // Of a change of either: looks at the Lease anew.
    void configure(Self self, int64_t duration_ms, int64_t now_ms);

    // What is to be asked now; the answer must be told before the next.
    Action next(int64_t now_ms);
    int64_t due_ms() const { return asking_ ? INT64_MAX : due_ms_; }

    void on_absent(int64_t now_ms);
    // `doubt`: why this instance does not know all that the holder has written; empty: it does.
    void on_read(kubernetes::Lease &&lease, const std::string &doubt, int64_t now_ms);
    void on_written(kubernetes::Lease &&lease, int64_t now_ms);
    void on_overtaken(int64_t now_ms); // somebody else wrote or made it meanwhile
    // The server has no Leases (`for_good`), or refuses them to us.
    void on_unavailable(const std::string &message, bool for_good, int64_t now_ms);
    void on_failure(const std::string &message, int64_t now_ms);

    // Empty: this instance may write to the server. Otherwise why not (yet).
    std::string closed_reason(int64_t now_ms) const;
    // It may not, but soon will or know better: an answer of the server is awaited, or whether a holder that was found
    // renews at all (one that died leaves its Lease behind).
    bool is_awaited(int64_t now_ms) const {
        const bool is_kept_off = is_older_copy_ || (!rival_.empty() && is_holder_alive_);
        return !is_kept_off && failure_.empty() && !closed_reason(now_ms).empty();
    }
    // Somebody else may. Empty: no.
    const std::string &rival() const { return rival_; }
    // The holder has written what this instance does not know, and nobody has said that it is to go on.
    bool is_older_copy() const { return is_older_copy_; }
    // Why there is no Lease to be had and nobody is kept from writing; empty: there is one.
    const std::string &unavailable() const { return unavailable_; }
    // A newer claim than the one that we know of was called elsewhere; 0: no.
    int64_t newer_term() const { return lease_ && lease_->term > self_.term ? lease_->term : 0; }

    const std::optional<kubernetes::Lease> &lease() const { return lease_; } // as last read or written

private:
    bool stay_older_copy(int64_t now_ms);
    void wait(int64_t until_ms) { due_ms_ = until_ms, asking_ = false; }

    Self self_;
    int64_t duration_ms_;
    std::optional<kubernetes::Lease> lease_;
    Action action_ = Action::read;
    bool asking_ = false;       // an answer is awaited
    int64_t due_ms_ = 0;        // of the next action
    int64_t asked_ms_ = 0;      // when the last one was sent
    int64_t renewed_ms_ = -1;   // when the last accepted renewal was sent; -1: we are not the holder
    int64_t first_seen_ms_ = 0; // when the other holder's last renewal was seen first
    bool is_older_copy_ = false;
    bool is_holder_alive_ = false; // it has written since the Lease was read first
    bool is_just_claimed_ = false; // here, since a Lease was read last
    int64_t refused_ms_ = -1;      // since when it is refused; -1: it is not
    std::string rival_, unavailable_, refusal_, failure_;
};

} // namespace dbnet::bgworker
