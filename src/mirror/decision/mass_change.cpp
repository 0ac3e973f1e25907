// The brakes' arithmetic. Pure C++; mirror worker.
#include "mirror/decision/mass_change.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "pg/no_postgres.hpp"

namespace dbnet::mirror {

namespace {

constexpr int64_t window_ms = 60'000;

constexpr std::array<std::pair<std::string_view, std::string_view>, 7> dangerous_kinds{{
    {"", "Namespace"},
    {"", "PersistentVolume"},
    {"", "PersistentVolumeClaim"},
    {"apiextensions.k8s.io", "CustomResourceDefinition"},
    {"admissionregistration.k8s.io", "MutatingWebhookConfiguration"},
    {"admissionregistration.k8s.io", "ValidatingWebhookConfiguration"},
    {"apiregistration.k8s.io", "APIService"},
}};

} // namespace

bool is_mass_change(int64_t changed, int64_t total, const HoldLimits &limits) {
    if (changed > limits.objects)
        return true;
    // In this order the product cannot overflow: changed is at most limits.objects here, and that a 32-bit setting.
    return changed >= limits.minimum && changed * 100 > std::max<int64_t>(total, 0) * limits.percent;
}

std::string mass_change_reason(std::string_view who, ChangeClass change, int64_t changed, int64_t total,
                               const HoldLimits &limits) {
    const bool has_total = changed >= limits.minimum;
    if (!is_mass_change(changed, has_total ? total : changed, limits))
        return {};
    return std::string(who) + (change == ChangeClass::remove ? " deletes " : " updates ") + std::to_string(changed) +
           (has_total ? " of " + std::to_string(total) : std::string()) + " objects" + limits_text(limits);
}

std::string limits_text(const HoldLimits &limits) {
    return " (held are more than " + std::to_string(limits.objects) + ", and from " + std::to_string(limits.minimum) +
           " on more than " + std::to_string(limits.percent) + " %)";
}

bool always_held_delete(std::string_view group, std::string_view kind) {
    return std::find(dangerous_kinds.begin(), dangerous_kinds.end(), std::pair(group, kind)) != dangerous_kinds.end();
}

bool MassChangeGate::admit(ChangeClass change, const std::string &key, int64_t total, const HoldLimits &limits,
                           int64_t now_ms) {
    Window &window = change == ChangeClass::update ? updates_ : removes_;
    while (!window.order.empty() && window.order.front().first <= now_ms - window_ms) {
        window.places.erase(window.order.front().second);
        window.order.pop_front();
    }
    if (const auto known = window.places.find(key); known != window.places.end()) {
        known->second->first = now_ms;
        window.order.splice(window.order.end(), window.order, known->second);
        return true;
    }
    if (is_mass_change(static_cast<int64_t>(window.order.size()) + 1, total, limits))
        return false;
    const auto place = window.order.emplace(window.order.end(), now_ms, key);
    window.places.emplace(place->second, place);
    return true;
}

} // namespace dbnet::mirror
