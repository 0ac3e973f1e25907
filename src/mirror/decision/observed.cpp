// Implementation of observed.hpp. Runs in the mirror worker.
#include "mirror/decision/observed.hpp"

#include "kubernetes/api.hpp"
#include "kubernetes/failure.hpp"
#include "kubernetes/instant.hpp"
#include "kubernetes/json_text.hpp"
#include "kubernetes/object/health.hpp"
#include "kubernetes/object/managed_fields.hpp"
#include "mirror/decision/restored.hpp"
#include "mirror/decision/stamp.hpp"
#include "mirror/values/secret_values.hpp"

#include <algorithm>
#include <array>

namespace dbnet::mirror {

namespace {

std::string text_at(const Json &parent, const char *member) {
    auto found = parent.find(member);
    return found != parent.end() && found->is_string() ? storable(*found).get<std::string>() : std::string();
}

const Json &list_at(const Json &parent, const char *member) {
    static const Json none = Json::array();
    auto found = parent.find(member);
    return found != parent.end() && found->is_array() ? *found : none;
}

// One controller at most: the server sees to it.
std::string controller_of(const Json &metadata) {
    for (const Json &reference : list_at(metadata, "ownerReferences")) {
        auto controller = reference.is_object() ? reference.find("controller") : reference.end();
        if (controller != reference.end() && *controller == true)
            return text_at(reference, "kind") + "/" + text_at(reference, "name");
    }
    return {};
}

// Times are RFC 3339 in UTC without fractions, so their texts order like the instants.
std::string last_manager_of(const Json &metadata) {
    std::string newest, manager;
    for (const Json &entry : list_at(metadata, "managedFields")) {
        if (!entry.is_object())
            continue;
        std::string time = text_at(entry, "time");
        if (manager.empty() || time >= newest) {
            newest = std::move(time);
            manager = text_at(entry, "manager");
        }
    }
    return manager;
}

// The stamp is no field of anybody's column: it must not make a manager an owner of the annotations.
void forget_stamp(Json &metadata) {
    const std::string stamp = std::string("f:") + stamp_annotation;
    if (auto entries = metadata.find("managedFields"); entries != metadata.end() && entries->is_array())
        for (Json &entry : *entries) {
            static const Json::json_pointer owned_metadata("/fieldsV1/f:metadata");
            if (!entry.is_object() || !entry.contains(owned_metadata) || !entry[owned_metadata].is_object())
                continue;
            Json &owned = entry[owned_metadata];
            auto annotations = owned.find("f:annotations");
            if (annotations == owned.end() || !annotations->is_object() || annotations->erase(stamp) == 0)
                continue;
            if (annotations->empty() || (annotations->size() == 1 && annotations->contains(".")))
                owned.erase(annotations);
            if (owned.empty()) // an empty set would stand for all metadata
                entry["fieldsV1"].erase("f:metadata");
        }
}

// In the form in which the API writes it, which PostgreSQL reads; whatever else a server may say is no time.
Json time_of(const kubernetes::FieldOwner &owner) {
    const std::string &time = owner.time;
    const bool is_plain = time.size() == 20 && time.compare(11, 2, "24") < 0 && kubernetes::parse_instant(time);
    return is_plain ? Json(time) : Json();
}

void take_owners(Observed &seen, const Json &body, const Mapping &mapping, const std::string &field_manager) {
    for (const Column &column : mapping.columns) {
        if (column.role == Role::key)
            continue;
        const std::vector<kubernetes::FieldOwner> owners = kubernetes::owners_of(body, column.field);
        // Times are whole seconds: of two who wrote within one, ours is the one that we know of anyway.
        auto named = std::ranges::find_if(owners, [&](const auto &owner) {
            return owner.manager != field_manager && owner.extent == owners.front().extent &&
                   owner.time == owners.front().time;
        });
        if (named == owners.end())
            named = owners.begin();
        if (!owners.empty())
            seen.managers[column.path] = {named->manager, time_of(*named)};
        if (std::string other = kubernetes::co_owner_of(body, column.field, field_manager); !other.empty())
            seen.managers[column.path].push_back(std::move(other));
        if (column.role != Role::status && std::any_of(owners.begin(), owners.end(), [&](const auto &owner) {
                return owner.manager == field_manager;
            }))
            seen.owned.insert(column.path);
    }
    seen.managers = storable(std::move(seen.managers));
}

// Only of the mirror's own manager: controllers copy annotations to what they make, people copy manifests.
std::string own_stamp(const Json &body, const std::string &field_manager) {
    static const auto path =
        kubernetes::FieldPath::parse(std::string("metadata.annotations[\"") + stamp_annotation + "\"]");
    const Json &metadata = body["metadata"];
    const auto annotations = metadata.find("annotations");
    if (annotations == metadata.end() || !annotations->is_object() || !annotations->contains(stamp_annotation))
        return {};
    const std::vector<kubernetes::FieldOwner> owners = kubernetes::owners_of(body, path);
    const bool is_ours =
        std::any_of(owners.begin(), owners.end(), [&](const auto &owner) { return owner.manager == field_manager; });
    return is_ours ? text_at(*annotations, stamp_annotation) : std::string();
}

// Our entry is as old as the object, and nobody else's is. An entry's time is that of the last change of what it names,
// so that this holds until our next one. Times are whole seconds, and the entry's is taken a moment before the
// object's.
bool was_created_by(const Json &metadata, const std::string &field_manager) {
    const auto entries = metadata.find("managedFields");
    const auto created = kubernetes::parse_instant(text_at(metadata, "creationTimestamp"));
    if (!created || entries == metadata.end() || !entries->is_array())
        return false;
    bool is_ours = false;
    for (const Json &entry : *entries) {
        if (!entry.is_object() || !text_at(entry, "subresource").empty())
            continue;
        const auto time = kubernetes::parse_instant(text_at(entry, "time"));
        if (!time || *time > *created || *time < *created - 1'000'000)
            continue;
        const std::string &manager = text_at(entry, "manager");
        if ((manager != field_manager || text_at(entry, "operation") != "Apply") &&
            manager != restoring_manager(field_manager))
            return false;
        is_ours = true;
    }
    return is_ours;
}

// What was applied to a subresource has an entry of its own; the entries have no field in common.
Json take_own_fields(Json &metadata, const std::string &field_manager) {
    Json fields;
    if (auto entries = metadata.find("managedFields"); entries != metadata.end() && entries->is_array())
        for (Json &entry : *entries)
            if (entry.is_object() && text_at(entry, "manager") == field_manager &&
                text_at(entry, "operation") == "Apply" && entry.contains("fieldsV1")) {
                if (fields.is_null())
                    fields = std::move(entry["fieldsV1"]);
                else if (fields.is_object() && entry["fieldsV1"].is_object())
                    fields.update(entry["fieldsV1"]);
            }
    return fields;
}

const char *health_text(kubernetes::Health::Status status) {
    return status == kubernetes::Health::Status::current ? "ready" : kubernetes::name(status);
}

// A fraction may have more digits, or a smaller exponent, than jsonb can take.
bool has_fraction(const Json &value) {
    return value.is_number_float() || (value.is_structured() && std::any_of(value.begin(), value.end(), has_fraction));
}

// The text without metadata.managedFields, with the members that lists leave out; cheaper than writing the body anew.
std::string live_text(const Json &body, std::string_view text) {
    constexpr std::array<std::string_view, 3> names{"metadata", "apiVersion", "kind"};
    const auto found = kubernetes::find_members(text, names);
    const auto &metadata = found[0];
    if (!metadata)
        return body.dump();
    std::string live = "{";
    live.reserve(text.size());
    for (const size_t i : {1, 2})
        if (const auto member = body.find(names[i]); member != body.end() && !found[i])
            (((live += '"') += names[i]) += "\":" + member->dump()) += ',';
    const size_t begin = text.find('{') + 1;
    const auto managed_fields = kubernetes::find_member(metadata->value_in(text), "managedFields");
    if (!managed_fields)
        return live.append(text.substr(begin));
    size_t from = metadata->value + managed_fields->begin, to = metadata->value + managed_fields->end;
    if (!managed_fields->is_last)
        to = text.find(',', to) + 1;
    else if (!managed_fields->is_first)
        from = text.rfind(',', from);
    return live.append(text.substr(begin, from - begin)).append(text.substr(to));
}

} // namespace

Observed observe(Json body, std::string_view text, const Mapping &mapping, const std::string &field_manager) {
    if (!body.is_object() || !body.contains("metadata") || !body["metadata"].is_object() ||
        text_at(body["metadata"], "name").empty())
        throw kubernetes::Failure("the server sent an object without metadata.name");
    Json &metadata = body["metadata"];

    Observed seen;
    seen.name_space = text_at(metadata, "namespace");
    seen.name = text_at(metadata, "name");
    seen.uid = text_at(metadata, "uid");
    seen.resource_version = text_at(metadata, "resourceVersion");
    if (auto generation = metadata.find("generation"); generation != metadata.end() && generation->is_number_integer())
        seen.generation = generation->get<int64_t>();
    seen.last_manager = last_manager_of(metadata);
    seen.controller = controller_of(metadata);
    auto health = kubernetes::health_of(body);
    seen.health = health_text(health.status);
    seen.health_message = std::move(health.message);
    seen.terminating = kubernetes::is_terminating(body);
    seen.stamp = own_stamp(body, field_manager);
    seen.is_created_by_us = was_created_by(metadata, field_manager);
    forget_stamp(metadata);
    take_owners(seen, body, mapping, field_manager);
    seen.own_fields = take_own_fields(metadata, field_manager);
    metadata.erase("managedFields");
    const bool is_hidden = !mapping.digest_key.empty();
    if (is_hidden)
        hide_secret_values(body, mapping.digest_key);
    // What is escaped may be more than jsonb, or the encoding of the database, can take.
    const bool is_plain = !is_hidden && text.find("\\u") == std::string_view::npos && !has_fraction(body);
    if (!is_plain)
        body = storable(std::move(body));
    seen.values = mapping.from_live(body);
    seen.live = is_plain ? live_text(body, text) : body.dump(); // a parsed document is many times its text
    return seen;
}

} // namespace dbnet::mirror

#include "pg/no_postgres.hpp"
