// Brakes: when a change is too big, or of a kind too dangerous, to be sent without a user's approval.
//
// Two classes are counted apart, updates and deletes; creates destroy nothing and are never held. The threshold is
// `objects`, or `percent` of the mirror's objects once at least `minimum` are touched; it holds for one transaction and
// for any 60 seconds, counting distinct objects.
//
// Pure C++; one gate per mirror lives in the mirror worker's memory.
#pragma once

#include <cstdint>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>

namespace dbnet::mirror {

struct HoldLimits {
    int64_t objects = 50; // more than this many are held
    int64_t minimum = 10; // from this many on …
    int64_t percent = 20; // … more than this share of the mirror is held
};

enum class ChangeClass { update, remove };

// Whether `changed` of `total` objects is a mass change.
bool is_mass_change(int64_t changed, int64_t total, const HoldLimits &limits);

// Why `who` is held that changes so many of `total` objects of a mirror at once; empty: it is not. The total is looked
// at from limits.minimum changes on.
std::string mass_change_reason(std::string_view who, ChangeClass change, int64_t changed, int64_t total,
                               const HoldLimits &limits);
std::string limits_text(const HoldLimits &limits); // " (held are more than …)"

// Kinds whose deletion is always held: it takes other objects, data or the cluster's rules with it.
bool always_held_delete(std::string_view group, std::string_view kind);

class MassChangeGate {
public:
    MassChangeGate() = default;
    MassChangeGate(const MassChangeGate &) = delete; // a window's places point into its order
    MassChangeGate &operator=(const MassChangeGate &) = delete;

    // Whether `changed` objects of one transaction are a mass change by themselves.
    bool holds_transaction(int64_t changed, int64_t total, const HoldLimits &limits) const {
        return is_mass_change(changed, total, limits);
    }

    // Asks for one more object at `now_ms` (monotonic). False: it must be held. Admitted objects count for 60 seconds;
    // one that is already counted is admitted again.
    bool admit(ChangeClass change, const std::string &key, int64_t total, const HoldLimits &limits, int64_t now_ms);

    // Objects that count now, at most: those that left the minute since the last admit() included.
    int64_t counted(ChangeClass change) const {
        return static_cast<int64_t>((change == ChangeClass::update ? updates_ : removes_).order.size());
    }

private:
    struct Window {
        using Order = std::list<std::pair<int64_t, std::string>>; // keys by time of their latest admission
        Order order;
        std::unordered_map<std::string_view, Order::iterator> places; // keys are those of `order`
    };
    Window updates_;
    Window removes_;
};

} // namespace dbnet::mirror
