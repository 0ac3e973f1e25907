// Field ownership: metadata.managedFields and the two ways a request changes it, update and apply.
#include "managed_fields.hpp"

#include "errors.hpp"
#include "structured_merge.hpp"

#include <algorithm>
#include <optional>
#include <tuple>
#include <vector>

namespace kubesim {

namespace {

const char *const scale_version = "autoscaling/v1";
constexpr size_t update_managers_limit = 10; // older ones are folded into "ancient-changes"

struct Entry {
    Writer writer;
    FieldSet fields;
    std::string time; // RFC 3339, empty = never changed a value
};

using Managers = std::map<std::string, Entry>;

const FieldSet &stripped_paths() {
    static const FieldSet set = [] {
        FieldSet out;
        for (const char *top : {"apiVersion", "kind", "metadata"})
            out.insert({std::string("f:") + top});
        for (const char *name : {"name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName",
                                 "generation", "managedFields", "resourceVersion"})
            out.insert({"f:metadata", std::string("f:") + name});
        return out;
    }();
    return set;
}

Managers decode(const json &object) {
    Managers out;
    const json *metadata = find(object, "metadata");
    const json *entries = metadata ? find(*metadata, "managedFields") : nullptr;
    if (!entries || !entries->is_array())
        return out;
    for (const auto &entry : *entries) {
        Entry one;
        one.writer = {text_of(entry, "manager"), text_of(entry, "operation"), text_of(entry, "apiVersion"),
                      text_of(entry, "subresource")};
        if (const json *fields = find(entry, "fieldsV1"))
            one.fields = FieldSet::from_json(*fields);
        one.fields.member = false;
        one.time = text_of(entry, "time");
        if (one.writer.operation.empty())
            continue;
        std::string key = one.writer.key();
        out[key] = std::move(one);
    }
    return out;
}

void encode(const Managers &managers, json &object) {
    std::vector<const Entry *> order;
    for (const auto &[key, entry] : managers)
        order.push_back(&entry);
    std::sort(order.begin(), order.end(), [](const Entry *a, const Entry *b) {
        return std::tie(a->writer.operation, a->time, a->writer.manager, a->writer.api_version, a->writer.subresource) <
               std::tie(b->writer.operation, b->time, b->writer.manager, b->writer.api_version, b->writer.subresource);
    });
    json &metadata = object["metadata"];
    metadata.erase("managedFields");
    if (order.empty())
        return;
    json entries = json::array();
    for (const Entry *entry : order) {
        json one = {{"manager", entry->writer.manager},
                    {"operation", entry->writer.operation},
                    {"apiVersion", entry->writer.api_version},
                    {"fieldsType", "FieldsV1"},
                    {"fieldsV1", entry->fields.to_json()}};
        if (!entry->time.empty())
            one["time"] = entry->time;
        if (!entry->writer.subresource.empty())
            one["subresource"] = entry->writer.subresource;
        entries.push_back(std::move(one));
    }
    metadata["managedFields"] = std::move(entries);
}

FieldSet one_path(const std::vector<std::string> &path) {
    std::vector<std::string> elements;
    for (const auto &name : path)
        elements.push_back("f:" + name);
    FieldSet out;
    out.insert(elements);
    return out;
}

void drop_if_empty(Managers &managers, const std::string &key) {
    auto it = managers.find(key);
    if (it != managers.end() && it->second.fields.empty())
        managers.erase(it);
}

std::string printed_writer(const Writer &writer) {
    std::string out = go_quoted(writer.manager);
    if (!writer.subresource.empty())
        out += " with subresource " + go_quoted(writer.subresource);
    if (writer.operation == "Update")
        out += " using " + writer.api_version;
    return out;
}

[[noreturn]] void throw_conflicts(const std::map<std::string, std::pair<std::string, std::vector<std::string>>> &all) {
    json causes = json::array();
    size_t count = 0;
    std::string list;
    for (const auto &[key, conflict] : all) {
        list += "\nconflicts with " + conflict.first + ":";
        for (const auto &path : conflict.second) {
            causes.push_back(
                {{"reason", "FieldManagerConflict"}, {"message", "conflict with " + conflict.first}, {"field", path}});
            list += "\n- " + path;
            count++;
        }
    }
    std::string message;
    if (count == 1)
        message = "Apply failed with 1 conflict: conflict with " + all.begin()->second.first + ": " +
                  all.begin()->second.second.front();
    else
        message = "Apply failed with " + std::to_string(count) + " conflicts: " + list.substr(1);
    throw ApiError(409, "Conflict", message, {{"causes", causes}});
}

// Takes the changed paths away from every other manager; without force a value another manager owns is a conflict.
Comparison take_over(const FieldManagement &how, const json &before, const json &after, Managers &managers,
                     const std::string &self, bool force) {
    Comparison change = compare(how.type, before, after);
    FieldSet written = unite(change.modified, change.added);
    if (how.untracked)
        written = subtract_recursively(written, *how.untracked);
    std::map<std::string, std::pair<std::string, std::vector<std::string>>> conflicts;
    for (auto &[key, entry] : managers) {
        if (key == self)
            continue;
        FieldSet conflict = intersect(entry.fields, written);
        if (conflict.empty())
            continue;
        if (force)
            entry.fields = subtract(entry.fields, conflict);
        else
            conflicts[key] = {printed_writer(entry.writer), conflict.paths()};
    }
    if (!conflicts.empty())
        throw_conflicts(conflicts);
    for (auto it = managers.begin(); it != managers.end();) {
        if (it->first != self)
            it->second.fields = subtract(it->second.fields, change.removed);
        it = it->second.fields.empty() ? managers.erase(it) : std::next(it);
    }
    return change;
}

void cap_update_managers(Managers &managers) {
    std::vector<Entry *> updaters;
    for (auto &[key, entry] : managers)
        if (entry.writer.operation == "Update" && entry.writer.subresource.empty())
            updaters.push_back(&entry);
    if (updaters.size() <= update_managers_limit)
        return;
    std::sort(updaters.begin(), updaters.end(), [](Entry *a, Entry *b) { return a->time < b->time; });
    Entry bucket = *updaters.front();
    bucket.writer.manager = "ancient-changes";
    std::vector<std::string> folded;
    for (size_t i = 0; i + update_managers_limit <= updaters.size(); i++) {
        bucket.fields = unite(bucket.fields, updaters[i]->fields);
        bucket.time = std::max(bucket.time, updaters[i]->time);
        folded.push_back(updaters[i]->writer.key());
    }
    for (const auto &key : folded)
        managers.erase(key);
    managers[bucket.writer.key()] = bucket;
}

void update(const FieldManagement &how, const json &before, const json &after, Managers &managers, const Writer &writer,
            const std::string &now) {
    Comparison change = take_over(how, before, after, managers, "", true);
    FieldSet mine = unite(change.modified, change.added);
    if (how.untracked)
        mine = subtract_recursively(mine, *how.untracked);
    if (mine.empty())
        return;
    Entry &entry = managers[writer.key()];
    entry.writer = writer;
    entry.fields = subtract(unite(entry.fields, mine), stripped_paths());
    entry.time = now;
    drop_if_empty(managers, writer.key());
    cap_update_managers(managers);
}

json without_managed_fields(const json &object) {
    json out = object;
    if (auto it = out.find("metadata"); it != out.end() && it->is_object())
        it->erase("managedFields");
    return out;
}

} // namespace

std::string Writer::key() const {
    return manager + '\n' + operation + '\n' + (operation == "Apply" ? "" : api_version) + '\n' + subresource;
}

void track_update(const FieldManagement &how, const json &before, json &after, const Writer &writer, bool creating,
                  const std::string &now) {
    Managers managers;
    const json *wanted = find(after["metadata"], "managedFields");
    bool reset = wanted && wanted->is_array() && wanted->size() == 1 && text_of((*wanted)[0], "operation").empty();
    if (!reset) {
        if (writer.subresource.empty())
            managers = decode(after);
        if (managers.empty())
            managers = decode(before);
    }
    // What is no set or map in the schema's sense (an element twice) cannot be tracked at all.
    if (!schema_errors(how.type, before).empty() || !schema_errors(how.type, after).empty())
        managers.clear();
    // An object nobody tracks stays untracked until its first apply.
    else if (!managers.empty() || creating)
        update(how, without_managed_fields(before), without_managed_fields(after), managers, writer, now);
    encode(managers, after);
}

json apply_configuration(const FieldManagement &how, const json &live, const json &configuration, const Writer &writer,
                         bool force, bool creating, const std::string &described, const std::string &described_live,
                         const std::string &now) {
    if (const json *metadata = find(configuration, "metadata"))
        if (const json *fields = find(*metadata, "managedFields"); fields && !fields->is_null())
            throw ApiError::bad_request("metadata.managedFields must be nil");
    json before = without_managed_fields(live);
    Managers managers = decode(live);
    if (std::string broken = creating ? "" : schema_errors(how.type, before); !broken.empty())
        throw ApiError::internal("failed to create manager for existing fields: failed to convert new object (" +
                                 described_live + ") to smd typed: " + broken);
    std::string misfit = schema_errors(how.type, configuration);
    if (!misfit.empty())
        throw ApiError::internal("failed to create typed patch object (" + described + "): " + misfit);
    if (managers.empty() && !creating)
        update(how, *how.zero, before, managers, {"before-first-apply", "Update", how.api_version, ""}, now);

    std::string key = writer.key();
    std::optional<FieldSet> last;
    if (auto it = managers.find(key); it != managers.end())
        last = it->second.fields;
    FieldSet mine = to_field_set(how.type, configuration);
    if (how.untracked)
        mine = subtract_recursively(mine, *how.untracked);
    Entry &entry = managers[key];
    entry.writer = writer;
    entry.fields = mine;

    json merged = merge(how.type, before, configuration);
    if (last && !last->empty()) {
        // Fields this manager applied before and does not now go away, unless another manager owns them.
        FieldSet owned;
        for (const auto &[other, one] : managers)
            owned = unite(owned, one.fields);
        FieldSet previous = with_named_fields(how.type, *last);
        json pruned = remove_items(how.type, merged, previous);
        FieldSet all = with_named_fields(how.type, to_field_set(how.type, merged));
        FieldSet kept =
            unite(with_named_fields(how.type, to_field_set(how.type, pruned)), with_named_fields(how.type, owned));
        pruned = remove_items(how.type, merged, subtract(all, kept));
        FieldSet rest = with_named_fields(how.type, to_field_set(how.type, pruned));
        merged = remove_items(how.type, merged, intersect(subtract(all, rest), previous));
    }

    Comparison change = take_over(how, before, merged, managers, key, force);
    if (auto it = managers.find(key); it != managers.end()) {
        it->second.fields = subtract(it->second.fields, stripped_paths());
        if (!change.same())
            it->second.time = now;
        drop_if_empty(managers, key);
    }
    json out = change.same() ? before : merged;
    encode(managers, out);
    return out;
}

void show_in_scale(const json &parent, const std::vector<std::string> &path, json &scale) {
    const FieldSet replicas = one_path(path), shown = one_path({"spec", "replicas"});
    Managers out;
    for (auto &[key, entry] : decode(parent)) {
        if (intersect(entry.fields, replicas).empty())
            continue;
        entry.writer.api_version = scale_version;
        entry.fields = shown;
        out[entry.writer.key()] = entry;
    }
    encode(out, scale);
}

void give_back(json &parent, const std::vector<std::string> &path, const std::string &api_version, const json &scale) {
    const FieldSet replicas = one_path(path), shown = one_path({"spec", "replicas"});
    Managers in_scale = decode(scale), out;
    for (const auto &[key, entry] : decode(parent)) {
        const bool owns = !intersect(entry.fields, replicas).empty();
        Entry kept = entry;
        // Updaters are known by their API version too, so theirs is never found again and becomes an entry of its own.
        if (owns && in_scale.erase(key) == 0)
            kept.fields = subtract(entry.fields, replicas);
        if (!kept.fields.empty())
            out[key] = kept;
    }
    for (auto &[key, entry] : in_scale) {
        if (intersect(entry.fields, shown).empty())
            continue;
        entry.fields = replicas;
        entry.writer.api_version = api_version;
        entry.time.clear();
        out[key] = entry;
    }
    encode(out, parent);
}

bool same_but_times(const json &a, const json &b) {
    if (a == b)
        return true;
    auto timeless = [](json object) {
        if (auto metadata = object.find("metadata"); metadata != object.end())
            if (auto entries = metadata->find("managedFields"); entries != metadata->end())
                for (auto &entry : *entries)
                    entry.erase("time");
        return object;
    };
    auto entries_of = [](const json &object) { return find(object.at("metadata"), "managedFields"); };
    const json *left = entries_of(a), *right = entries_of(b);
    if (!left != !right || (left && left->size() != right->size()))
        return false;
    return timeless(a) == timeless(b);
}

} // namespace kubesim
