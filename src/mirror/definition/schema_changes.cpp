// Comparison of schemas, field by field (see schema_changes.hpp). Backends.
#include "mirror/definition/schema_changes.hpp"

#include <algorithm>
#include <set>

namespace dbnet::mirror {
namespace {

using kubernetes::FieldPath;
using Change = SchemaChange::Kind;

constexpr size_t most_told = 6;          // differences of one field's rules
constexpr size_t description_told = 160; // bytes
constexpr int deepest = 100;

std::string quoted_name(std::string_view text) {
    std::string quoted = "\"";
    for (const char c : text)
        quoted += c == '"' ? "\"\"" : std::string(1, c);
    return quoted + "\"";
}

std::string type_text(ValueType type, const std::string &format) {
    return std::string(to_text(type)) + (format.empty() ? "" : " (" + format + ")");
}

const char *writer_text(Role role) {
    return role == Role::status ? "written by device reports only" : "written by users";
}

std::string sentence(const ColumnMapError &error) {
    return std::string(error.what()) + (error.hint().empty() ? "" : ". " + error.hint());
}

// The rules of two schemas side by side. What one of them refers to by name is compared once, under that name.
class RulesComparison {
public:
    std::vector<std::string> compare(const Json &before, const Json &after) {
        node("", before, after, 0);
        const auto [left, right] = std::pair{before.find("named"), after.find("named")};
        if (before.is_object() && after.is_object() && left != before.end() && right != after.end() &&
            left->is_object() && right->is_object())
            for (const auto &[name, old] : left->items())
                if (const auto found = right->find(name); found != right->end())
                    node(name.substr(name.rfind('.') + 1), old, *found, 1);
        return std::move(lines_);
    }

private:
    static Json expanded(const Json &node) { return node.is_string() ? Json{{"type", node}} : node; }

    static std::string below(const std::string &place, const std::string &name) {
        return place.empty() || name.starts_with('[') ? place + name : place + "." + name;
    }

    void tell(const std::string &place, const std::string &what) {
        lines_.push_back((place.empty() ? "" : place + ": ") + what);
    }

    void node(const std::string &place, const Json &one, const Json &other, int depth) {
        const Json before = expanded(one), after = expanded(other);
        if (depth > deepest || before == after || !before.is_object() || !after.is_object())
            return;
        std::set<std::string> keys;
        for (const Json *side : {&before, &after})
            for (const auto &[key, value] : side->items())
                if (key != "named")
                    keys.insert(key);
        static const Json none;
        for (const std::string &key : keys) {
            const auto left = before.find(key), right = after.find(key);
            const Json &was = left == before.end() ? none : *left, &is = right == after.end() ? none : *right;
            if (was == is)
                continue;
            if (key == "fields")
                fields(place, was, is, depth);
            else if ((key == "items" || key == "values") && !was.is_null() && !is.is_null())
                node(below(place, key == "items" ? "[]" : "[\"...\"]"), was, is, depth + 1);
            else if (key == "enum")
                values(place, was, is);
            else
                tell(place, was.is_null()  ? word(key) + " " + told(is) + " is new"
                            : is.is_null() ? word(key) + " " + told(was) + " is gone"
                                           : word(key) + " " + told(was) + " -> " + told(is));
        }
    }

    void fields(const std::string &place, const Json &before, const Json &after, int depth) {
        static const Json none = Json::object();
        const Json &was = before.is_object() ? before : none, &is = after.is_object() ? after : none;
        for (const auto &[name, old] : was.items())
            if (const auto found = is.find(name); found == is.end())
                tell(below(place, name), "is gone");
            else
                node(below(place, name), old, *found, depth + 1);
        for (const auto &[name, added] : is.items())
            if (!was.contains(name))
                tell(below(place, name), "is new");
    }

    void values(const std::string &place, const Json &before, const Json &after) {
        const auto missing = [](const Json &from, const Json &in) {
            std::string list;
            for (const Json &value : in.is_array() ? in : Json::array())
                if (!from.is_array() || std::ranges::find(from, value) == from.end())
                    list += (list.empty() ? "" : ", ") + shown(value);
            return list;
        };
        if (before.is_null() || after.is_null())
            return tell(place,
                        before.is_null() ? "only takes " + missing(before, after) + " now" : "takes any value now");
        const std::string added = missing(before, after), gone = missing(after, before);
        if (!added.empty())
            tell(place, "takes " + added + " too");
        if (!gone.empty())
            tell(place, "does not take " + gone + " any more");
    }

    static std::string word(const std::string &key) {
        std::string text = key;
        std::ranges::replace(text, '_', ' ');
        return text;
    }
    static std::string told(const Json &value) { return value.is_string() ? value.get<std::string>() : shown(value); }

    std::vector<std::string> lines_;
};

class Comparison {
public:
    explicit Comparison(const SchemaQuestion &question) : question_(question) {}

    SchemaComparison compare() {
        for (const MappedColumn &stored : *question_.stored)
            compare_column(stored);
        if (question_.known->has_value())
            find_added(**question_.known);
        return std::move(result_);
    }

private:
    void tell(const MappedColumn &stored, Change kind, std::string detail) {
        result_.changes.push_back({stored.column.name, stored.column.path, kind, std::move(detail)});
    }

    void keep(const MappedColumn &mapped) {
        result_.map.columns.push_back(mapped.column);
        result_.map.descriptions[mapped.column.name] = mapped.description;
    }

    void compare_column(const MappedColumn &stored) {
        const Column &before = stored.column;
        try {
            question_.map.schema->at(before.field);
        } catch (const kubernetes::Failure &failure) {
            if (before.role == Role::key)
                return keep(stored); // every kind has them
            tell(stored, Change::gone,
                 std::string(failure.what()) + ". apply => true makes the column local: it stays, with its values, "
                                               "and mirrors nothing");
            result_.gone.push_back(before.path);
            result_.has_other_columns = true;
            return;
        }
        try {
            const MappedColumn now =
                map_column(question_.map, {before.name, before.path, before.on_drift, before.subresource});
            compare_same(stored, now);
            keep(now);
        } catch (const ColumnMapError &error) {
            if (error.kind() == ColumnMapError::no_such_column)
                tell(stored, Change::no_column, sentence(error));
            else
                tell(stored, Change::type,
                     sentence(error) + (error.kind() != ColumnMapError::wrong_type
                                            ? ""
                                            : " ALTER TABLE " + std::string(question_.map.table) + " ALTER COLUMN " +
                                                  quoted_name(before.name) +
                                                  " TYPE ... makes it fit: do so and call this with apply => true in "
                                                  "one transaction"));
            keep(stored);
        }
    }

    void compare_same(const MappedColumn &stored, const MappedColumn &now) {
        const Column &before = stored.column, &after = now.column;
        const bool same_type = before.type == after.type && before.format == after.format;
        if (!same_type) {
            tell(stored, Change::type,
                 type_text(before.type, before.format) + " -> " + type_text(after.type, after.format));
            result_.retyped.push_back(after);
        }
        if (before.role != after.role) {
            tell(stored, Change::role, std::string(writer_text(before.role)) + " -> " + writer_text(after.role));
            result_.has_other_columns = true;
        }
        const std::string difference = rules_difference(stored.description.rules, now.description.rules);
        if (!difference.empty() && (same_type || after.type == ValueType::json))
            tell(stored, Change::rules, difference);
        if (stored.description.required != now.description.required)
            tell(stored, Change::required, now.description.required ? "optional -> required" : "required -> optional");
        if (stored.description.description != now.description.description)
            tell(stored, Change::description,
                 now.description.description.empty() ? "has none any more"
                                                     : shortened(now.description.description, description_told));
    }

    // Fields that the plan has and that the recorded schema did not have.
    void find_added(const std::vector<std::string> &known) {
        for (const PlannedColumn &planned : question_.plan->columns) {
            const FieldPath path = FieldPath::parse(planned.path);
            const auto is_mapped = [&](const MappedColumn &stored) {
                return stored.column.field.contains(path) || path.contains(stored.column.field);
            };
            if (std::ranges::find(known, planned.path) != known.end() ||
                std::ranges::any_of(*question_.stored, is_mapped))
                continue;
            const bool is_taken = std::ranges::find(*question_.map.columns, planned.name, &TableColumn::name) !=
                                  question_.map.columns->end();
            const std::string type = planned.type.substr(planned.type.find('.') + 1);
            std::string detail = "ALTER TABLE " + std::string(question_.map.table) + " ADD COLUMN " +
                                 quoted_name(planned.name) + " " + type;
            if (is_taken)
                detail = "the table has a column of that name, which mirrors nothing: map it with argument columns of "
                         "dbnet.alter_mirror()";
            else if (!question_.generated)
                detail += "; then map it with argument columns of dbnet.alter_mirror()";
            result_.changes.push_back({planned.name, planned.path, Change::added, std::move(detail)});
            if (question_.generated && !is_taken)
                result_.added.push_back(planned);
        }
        result_.has_other_columns |= !result_.added.empty();
    }

    const SchemaQuestion &question_;
    SchemaComparison result_;
};

} // namespace

const char *to_text(SchemaChange::Kind kind) {
    switch (kind) {
    case Change::gone:
        return "gone";
    case Change::no_column:
        return "no column";
    case Change::type:
        return "type";
    case Change::role:
        return "role";
    case Change::rules:
        return "rules";
    case Change::required:
        return "required";
    case Change::description:
        return "description";
    case Change::added:
        break;
    }
    return "new";
}

std::string rules_difference(std::string_view before, std::string_view after) {
    const Json was = Json::parse(before, nullptr, false), is = Json::parse(after, nullptr, false);
    const auto says_nothing = [](const Json &rules) {
        return rules.is_discarded() || rules.is_null() || rules == "any";
    };
    if (says_nothing(was) && says_nothing(is))
        return {};
    if (says_nothing(was))
        return "not known -> known";
    if (says_nothing(is))
        return "the field takes any value now";
    const std::vector<std::string> lines = RulesComparison().compare(was, is);
    std::string text;
    for (size_t i = 0; i < lines.size() && i < most_told; i++)
        text += (i == 0 ? "" : "; ") + lines[i];
    if (lines.size() > most_told)
        text += "; and " + std::to_string(lines.size() - most_told) + " more";
    return text;
}

SchemaComparison compare_schema(const SchemaQuestion &question) {
    return Comparison(question).compare();
}

} // namespace dbnet::mirror

#include "pg/no_postgres.hpp"
