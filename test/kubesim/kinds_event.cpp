// Events: kept as those of the core group, seen in events.k8s.io/v1 too, where most members have other names.
#include "kinds.hpp"

#include "pod_spec.hpp"
#include "times.hpp"
#include "validation.hpp"

#include <array>

namespace kubesim {

namespace {

constexpr std::array<std::array<const char *, 2>, 7> names = {{{"involvedObject", "regarding"},
                                                               {"message", "note"},
                                                               {"source", "deprecatedSource"},
                                                               {"firstTimestamp", "deprecatedFirstTimestamp"},
                                                               {"lastTimestamp", "deprecatedLastTimestamp"},
                                                               {"count", "deprecatedCount"},
                                                               {"reportingComponent", "reportingController"}}};

json renamed(json object, size_t from) {
    for (const auto &pair : names)
        if (object.contains(pair[from])) {
            object[pair[1 - from]] = std::move(object[pair[from]]);
            object.erase(pair[from]);
        }
    return object;
}

json from_core(json object) {
    json out = renamed(std::move(object), 0);
    // Here empty ones are not written.
    for (const char *name : {"reportingController", "reportingInstance"})
        if (text_of(out, name).empty())
            out.erase(name);
    return out;
}

json to_core(json object) {
    json out = renamed(std::move(object), 1);
    for (const char *name : {"reportingComponent", "reportingInstance"})
        if (!out.contains(name))
            out[name] = "";
    return out;
}

constexpr char reporting_controller[] = "reportingController";
constexpr size_t longest_word = 128, longest_note = 1024;

// In both forms what is refused is named as the kept form names it, but for that of the controller.
void check_length(const json &event, const char *member, size_t most, std::vector<FieldError> &errors) {
    if (text_of(event, member).size() > most)
        errors.push_back(
            FieldError::invalid(member, "\"\"", "can have at most " + std::to_string(most) + " characters"));
}

void check_word(const json &event, const char *member, std::vector<FieldError> &errors) {
    if (text_of(event, member).empty())
        errors.push_back(FieldError::required(member, ""));
    check_length(event, member, longest_word, errors);
}

// What any Event has to keep to, in the form of the core group; one with an eventTime is of the newer kind.
// `controller_field`: what reportingComponent is called where it came from.
void validate_any(const json &event, const std::string &controller_field, std::vector<FieldError> &errors) {
    const std::string place = text_of(event.at("metadata"), "namespace");
    const std::string named = text_of(event.at("involvedObject"), "namespace");
    const bool is_new = !event.at("eventTime").is_null();
    // What is in no namespace is told in the default one.
    const bool is_in_place =
        named.empty() ? place == "default" || (is_new && place == "kube-system") : is_new || named == place;
    if (!is_in_place)
        errors.push_back(
            FieldError::invalid("involvedObject.namespace", go_quoted(named), "does not match event.namespace"));
    if (!is_new)
        return;
    const std::string controller = text_of(event, "reportingComponent");
    if (controller.empty())
        errors.push_back(FieldError::required(controller_field, ""));
    for (const std::string &why : qualified_name_errors(controller))
        errors.push_back(FieldError::invalid(controller_field, go_quoted(controller), why));
    check_word(event, "reportingInstance", errors);
    check_word(event, "action", errors);
    check_word(event, "reason", errors);
    check_length(event, "message", longest_note, errors);
}

void core_validate(const json &after, const json *, std::vector<FieldError> &errors) {
    validate_any(after, "reportingComponent", errors);
}

void validate_series(const json &event, std::vector<FieldError> &errors) {
    const json *series = find(event, "series");
    if (!series)
        return;
    if (integer_of(*series, "count", 0) < 2)
        errors.push_back(FieldError::invalid("series.count", "\"\"", "should be at least 2"));
    if (text_of(*series, "lastObservedTime").empty())
        errors.push_back(FieldError::required("series.lastObservedTime", ""));
}

void validate_create(const json &event, std::vector<FieldError> &errors) {
    validate_series(event, errors);
    if (event.at("eventTime").is_null())
        errors.push_back(FieldError::required("eventTime", ""));
    const std::string type = text_of(event, "type");
    if (type != "Normal" && type != "Warning")
        errors.push_back(FieldError::invalid("type", "\"\"", "has invalid value: " + type));
    const auto forbid = [&](const char *member, bool is_set) {
        if (is_set)
            errors.push_back(FieldError::invalid(member, "\"\"", "needs to be unset"));
    };
    for (const char *member : {"firstTimestamp", "lastTimestamp"})
        forbid(member, !text_of(event, member).empty());
    forbid("count", integer_of(event, "count", 0) != 0);
    const json *source = find(event, "source");
    forbid("source", source && !source->empty());
}

// As Go prints the members of an Event.
std::string printed(const std::string &member, const json *value) {
    const auto structure = [&](const char *type, std::initializer_list<std::array<const char *, 2>> members) {
        std::string text;
        for (const auto &[name, key] : members)
            text += (text.empty() ? "" : ", ") + std::string(name) + ":" + go_quoted(value ? text_of(*value, key) : "");
        return "core." + std::string(type) + "{" + text + "}";
    };
    if (member == "involvedObject")
        return structure("ObjectReference", {{"Kind", "kind"},
                                             {"Namespace", "namespace"},
                                             {"Name", "name"},
                                             {"UID", "uid"},
                                             {"APIVersion", "apiVersion"},
                                             {"ResourceVersion", "resourceVersion"},
                                             {"FieldPath", "fieldPath"}});
    if (member == "source")
        return structure("EventSource", {{"Component", "component"}, {"Host", "host"}});
    if (!value)
        return "\"\"";
    if (!member.ends_with("Time") && !member.ends_with("Timestamp"))
        return go_value(*value, true);
    std::string time = value->get<std::string>(); // 2026-11-23T08:00:05Z
    time.replace(time.find('T'), 1, " ");
    time.replace(time.find('Z'), 1, " +0000 UTC");
    return time;
}

// All but the series stays.
void validate_change(const json &after, const json &before, std::vector<FieldError> &errors) {
    const auto changes = [&](const char *member) {
        const json *now = find(after, member), *was = find(before, member);
        return (now ? *now : json()) != (was ? *was : json());
    };
    if (changes("series"))
        validate_series(after, errors);
    for (const char *member :
         {"involvedObject", "reason", "message", "source", "firstTimestamp", "lastTimestamp", "count", "type",
          "eventTime", "action", "related", "reportingComponent", "reportingInstance"})
        if (changes(member))
            errors.push_back(
                FieldError::invalid(member == std::string("reportingComponent") ? reporting_controller : member,
                                    printed(member, find(after, member)), "field is immutable"));
}

void event_validate(const json &after, const json *before, std::vector<FieldError> &errors) {
    const json event = to_core(after);
    validate_any(event, reporting_controller, errors);
    if (before)
        validate_change(event, to_core(*before), errors);
    else
        validate_create(event, errors);
}

json event_cells(const json &seen) {
    const json object = seen.contains("regarding") ? renamed(seen, 1) : seen;
    const json &about = object.at("involvedObject"), *series = find(object, "series");
    std::string kind = text_of(about, "kind");
    for (char &letter : kind)
        letter = static_cast<char>(tolower(letter));
    const std::string name = text_of(about, "name");
    std::string first = text_of(object, "firstTimestamp"), last = text_of(object, "lastTimestamp");
    if (first.empty())
        first = text_of(object, "eventTime");
    if (series)
        last = text_of(*series, "lastObservedTime");
    if (last.empty())
        last = first;
    const json *source = find(object, "source");
    std::string component = source ? text_of(*source, "component") : "", host = source ? text_of(*source, "host") : "";
    if (component.empty()) {
        component = text_of(object, "reportingComponent");
        host = text_of(object, "reportingInstance");
    }
    int64_t count = integer_of(series ? *series : object, "count", 0);
    if (count == 0)
        count = 1;
    return json::array({age(last), text_of(object, "type"), text_of(object, "reason"),
                        name.empty() ? kind : kind + "/" + name, text_of(about, "fieldPath"),
                        host.empty() ? component : component + ", " + host, text_of(object, "message"), age(first),
                        count, text_of(object.at("metadata"), "name")});
}

} // namespace

Behaviour event_behaviour(const std::string &group) {
    Behaviour out;
    const bool core = group.empty();
    const std::string about = core ? "involvedObject." : "regarding.";
    for (const char *name : {"kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath"})
        out.field_selectors.push_back(about + name);
    for (const char *name : {"reason", core ? "reportingComponent" : "reportingController", "type"})
        out.field_selectors.push_back(name);
    if (core)
        out.field_selectors.push_back("source");
    else
        out.kept_as = {"", "v1", to_core, from_core};
    out.created_by_update = true;
    out.validate = core ? core_validate : event_validate;
    out.hides_name = true;
    out.hides_age = true;
    out.columns = {
        {"Last Seen", "string", "", "The time at which the most recent occurrence of this event was recorded.", 0},
        {"Type", "string", "", "Type of this event (Normal, Warning), new types could be added in the future", 0},
        {"Reason", "string", "",
         "This should be a short, machine understandable string that gives the reason for the transition into the "
         "object's current status.",
         0},
        {"Object", "string", "", "The object that this event is about.", 0},
        {"Subobject", "string", "",
         "If referring to a piece of an object instead of an entire object, this string should contain a valid JSON/Go "
         "field access statement, such as desiredState.manifest.containers[2].",
         1},
        {"Source", "string", "", "The component reporting this event. Should be a short machine understandable string.",
         1},
        {"Message", "string", "", "A human-readable description of the status of this operation.", 0},
        {"First Seen", "string", "",
         "The time at which the event was first recorded. (Time of server receipt is in TypeMeta.)", 1},
        {"Count", "string", "", "The number of times this event has occurred.", 1},
        {"Name", "string", "name", "Name must be unique within a namespace.", 1}};
    out.cells = event_cells;
    return out;
}

} // namespace kubesim
