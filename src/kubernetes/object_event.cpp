// Events as JSON. Pure C++; mirror worker.
#include "kubernetes/object_event.hpp"

#include "kubernetes/instant.hpp"

#include <nlohmann/json.hpp>

#include <cstdio>

namespace dbnet::kubernetes {
namespace {

constexpr char event_controller[] = "dbnet.io/mirror-worker";
constexpr size_t longest_note = 1024;
constexpr size_t longest_instance = 128;
constexpr size_t longest_event_name = 253 - 17; // with a dot and sixteen digits

bool is_letter_or_digit(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

// A DNS subdomain, which names of Events must be and those of Roles, for example, need not.
bool is_subdomain(const std::string &name) {
    if (name.empty() || !is_letter_or_digit(name.front()) || !is_letter_or_digit(name.back()))
        return false;
    for (size_t i = 1; i < name.size(); i++)
        if (!is_letter_or_digit(name[i]) &&
            (name[i] == '.' ? !is_letter_or_digit(name[i - 1]) || !is_letter_or_digit(name[i + 1]) : name[i] != '-'))
            return false;
    return true;
}

// Not worth a long wait.
Request in_passing(Request request) {
    request.timeout = std::chrono::seconds(5);
    return request;
}

} // namespace

const Resource &object_event_resource() {
    static const Resource resource{"events.k8s.io", "v1", "Event", "events", true};
    return resource;
}

std::string object_event_namespace(const ObjectEvent &event) {
    return event.resource.namespaced ? event.name_space : "default";
}

std::string object_event_name(const ObjectEvent &event) {
    char digits[20];
    std::snprintf(digits, sizeof digits, ".%llx", static_cast<unsigned long long>(event.at_us));
    const std::string about =
        is_subdomain(event.name) && event.name.size() <= longest_event_name ? event.name : "dbnet";
    return about + digits;
}

std::string object_event_note(std::string note) {
    constexpr std::string_view more = "...";
    if (note.size() <= longest_note)
        return note;
    size_t end = longest_note - more.size();
    while (end > 0 && (static_cast<unsigned char>(note[end]) & 0xC0) == 0x80)
        end--;
    note.resize(end);
    return note.append(more);
}

Request create_object_event_request(const ObjectEvent &event) {
    const std::string place = object_event_namespace(event);
    nlohmann::json regarding = {
        {"apiVersion", event.resource.api_version()}, {"kind", event.resource.kind}, {"name", event.name}};
    if (event.resource.namespaced)
        regarding["namespace"] = event.name_space;
    if (!event.uid.empty())
        regarding["uid"] = event.uid;
    const nlohmann::json body = {{"apiVersion", object_event_resource().api_version()},
                                 {"kind", object_event_resource().kind},
                                 {"metadata", {{"name", object_event_name(event)}, {"namespace", place}}},
                                 {"eventTime", format_instant(event.at_us, true)},
                                 {"reportingController", event_controller},
                                 {"reportingInstance", event.instance.substr(0, longest_instance)},
                                 {"type", event.is_warning ? "Warning" : "Normal"},
                                 {"reason", event.reason},
                                 {"action", event.action},
                                 {"note", object_event_note(event.note)},
                                 {"regarding", std::move(regarding)}};
    return in_passing(create_request(object_event_resource(), place, "dbnet", body));
}

Request object_event_series_request(const ObjectEvent &event, int64_t count, int64_t last_us) {
    const nlohmann::json series = {{"count", count}, {"lastObservedTime", format_instant(last_us, true)}};
    return in_passing(merge_patch_request(object_event_resource(), object_event_namespace(event),
                                          object_event_name(event), "dbnet", {{"series", series}}));
}

} // namespace dbnet::kubernetes

#include "pg/no_postgres.hpp"
