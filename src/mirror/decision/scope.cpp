// Labels of objects beside the mirror's selector (see scope.hpp).
#include "mirror/decision/scope.hpp"

#include <algorithm>

#include "pg/no_postgres.hpp"

namespace dbnet::mirror {

namespace {

Json labels_of(const Json &object) {
    if (!object.is_object() || !object.contains("metadata") || !object["metadata"].is_object())
        return Json::object();
    const auto labels = object["metadata"].find("labels");
    return labels != object["metadata"].end() && labels->is_object() ? *labels : Json::object();
}

bool holds_labels(const Column &column) {
    const auto &segments = column.field.segments();
    return segments.size() >= 2 && segments[0].name == "metadata" && segments[1].name == "labels";
}

// An apply takes away what the one before it had set and it does not.
void apply_labels(Json &labels, const Column &column, const Json *before, const Json &after) {
    const auto &segments = column.field.segments();
    if (segments.size() > 2) {
        labels[segments[2].name] = after;
        return;
    }
    if (before && before->is_object())
        for (const auto &[key, value] : before->items())
            labels.erase(key);
    if (after.is_object())
        labels.update(after);
}

} // namespace

bool has_left_selector(const MirrorSettings &settings, const Json &object) {
    return !object.is_null() && !settings.selector.matches(labels_of(object));
}

std::string left_selector_message(const MirrorSettings &settings) {
    return "the object does not match the mirror's label selector \"" + settings.selector.text() + "\" any more";
}

std::optional<ValueError> selector_problem(const Situation &situation, const Decision &decision,
                                           const ObjectRecord *object) {
    const MirrorSettings &settings = *situation.settings;
    if (settings.selector.matches_all())
        return std::nullopt;
    const auto is_changed = [&](const Column &column) {
        return holds_labels(column) && std::ranges::count(decision.changed, column.path) > 0;
    };
    if (object && std::ranges::none_of(situation.mapping->columns, is_changed))
        return std::nullopt;
    Json labels = object ? labels_of(object->live) : Json::object();
    if (settings.group.empty() && settings.kind == "Namespace")
        labels["kubernetes.io/metadata.name"] = situation.name; // by the server
    std::string column_name;
    for (const Column &column : situation.mapping->columns) {
        if (!holds_labels(column))
            continue;
        if (column_name.empty() || column.field.segments().size() == 2)
            column_name = column.name;
        if (const Json *value = find_field(decision.fields, column.path))
            apply_labels(labels, column, object ? find_field(object->applied, column.path) : nullptr, *value);
    }
    if (settings.selector.matches(labels))
        return std::nullopt;
    ValueError error;
    error.message = "with the row's labels the object would not match the mirror's label selector \"" +
                    settings.selector.text() + "\", and the mirror would not see it";
    error.hint = column_name.empty()
                     ? "Map metadata.labels to a column and give the row labels that match, or mirror the kind without "
                       "that selector."
                     : "Give column \"" + column_name + "\" labels that match.";
    return error;
}

} // namespace dbnet::mirror
