// The structural schema of a custom resource: what the server prunes, defaults and refuses in its objects.
#include "custom_schema.hpp"

#include <algorithm>
#include <cmath>
#include <regex>
#include <set>

namespace kubesim {

namespace {

bool flag(const json &schema, const char *name) {
    const json *value = find(schema, name);
    return value && *value == true;
}

std::string below(const std::string &path, const std::string &name) {
    return path.empty() ? name : path + "." + name;
}

std::string at_index(const std::string &path, size_t i) {
    return path + "[" + std::to_string(i) + "]";
}

// The schema of an object's member: declared, of all further ones, or null.
const json *member_schema(const json &schema, const std::string &name) {
    const json *properties = find(schema, "properties");
    const json *own = properties ? find(*properties, name) : nullptr;
    if (own)
        return own;
    const json *further = find(schema, "additionalProperties");
    return further && further->is_object() ? further : nullptr;
}

bool takes_any_member(const json &schema) {
    const json *further = find(schema, "additionalProperties");
    return flag(schema, "x-kubernetes-preserve-unknown-fields") || (further && *further == true);
}

void prune(json &value, const json &schema, const std::string &path, std::vector<std::string> *unknown) {
    if (value.is_array()) {
        if (const json *items = find(schema, "items"))
            for (size_t i = 0; i < value.size(); i++)
                prune(value[i], *items, at_index(path, i), unknown);
        return;
    }
    if (!value.is_object())
        return;
    for (auto it = value.begin(); it != value.end();) {
        const bool type_member = flag(schema, "x-kubernetes-embedded-resource") &&
                                 (it.key() == "apiVersion" || it.key() == "kind" || it.key() == "metadata");
        if (const json *inner = member_schema(schema, it.key())) {
            prune(*it, *inner, below(path, it.key()), unknown);
        } else if (!takes_any_member(schema) && !type_member) {
            if (unknown)
                unknown->push_back(below(path, it.key()));
            it = value.erase(it);
            continue;
        }
        ++it;
    }
}

void set_defaults(json &value, const json &schema) {
    if (value.is_array()) {
        if (const json *items = find(schema, "items"))
            for (auto &item : value)
                set_defaults(item, *items);
        return;
    }
    if (!value.is_object())
        return;
    if (const json *properties = find(schema, "properties"))
        for (const auto &[name, inner] : properties->items()) {
            const json *standard = find(inner, "default");
            // A null where none may be counts as nothing said.
            if (standard && (!value.contains(name) || (value[name].is_null() && !flag(inner, "nullable"))))
                value[name] = *standard;
        }
    for (auto &[name, member] : value.items())
        if (const json *inner = member_schema(schema, name))
            set_defaults(member, *inner);
}

// 2.0 is 2 once it was decoded without a type.
void shorten_numbers(json &value) {
    if (value.is_structured()) {
        for (auto &member : value)
            shorten_numbers(member);
    } else if (value.is_number_float() && std::fabs(value.get<double>()) < 1e15 &&
               value.get<double>() == std::floor(value.get<double>())) {
        value = static_cast<int64_t>(value.get<double>());
    }
}

std::string type_of(const json &value) {
    if (value.is_number_float())
        return "number";
    return value.is_null()      ? "null"
           : value.is_boolean() ? "boolean"
           : value.is_string()  ? "string"
           : value.is_number()  ? "integer"
           : value.is_array()   ? "array"
                                : "object";
}

size_t characters(const std::string &text) {
    return static_cast<size_t>(
        std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

class Validator {
public:
    explicit Validator(std::vector<FieldError> &errors) : errors_(errors) {}

    void check(const json &value, const json &schema, const std::string &path) {
        const bool either = flag(schema, "x-kubernetes-int-or-string");
        const std::string wanted = either ? "integer,string" : text_of(schema, "type"), is = type_of(value);
        if (value.is_null() && flag(schema, "nullable"))
            return;
        const bool fits = wanted.empty() || is == wanted || (wanted == "number" && is == "integer") ||
                          (either && (is == "integer" || is == "string"));
        if (!fits)
            return wrong_type(path, wanted, is);
        if (const json *allowed = find(schema, "enum"))
            if (std::find(allowed->begin(), allowed->end(), value) == allowed->end()) {
                std::vector<std::string> texts;
                for (const auto &one : *allowed)
                    texts.push_back(one.is_string() ? one.get<std::string>() : dump(one));
                errors_.push_back(FieldError::not_supported(path, dump(value), texts));
            }
        if (value.is_number())
            check_number(value, schema, path);
        else if (value.is_string())
            check_string(value.get_ref<const std::string &>(), schema, path);
        else if (value.is_array())
            check_list(value, schema, path);
        else if (value.is_object())
            check_object(value, schema, path);
    }

private:
    void wrong_type(const std::string &path, const std::string &wanted, const std::string &is) {
        errors_.push_back({path, "FieldValueTypeInvalid",
                           "Invalid value: " + go_quoted(is) + ": " + path + " in body must be of type " + wanted +
                               ": " + go_quoted(is)});
    }

    void invalid(const json &shown, const std::string &path, const std::string &why) {
        errors_.push_back(FieldError::invalid(path, dump(shown), path + " in body " + why));
    }

    void check_number(const json &value, const json &schema, const std::string &path) {
        if (const json *least = find(schema, "minimum")) {
            const bool exclusive = flag(schema, "exclusiveMinimum");
            if (value < *least || (exclusive && value == *least))
                invalid(value, path,
                        std::string("should be greater than ") + (exclusive ? "" : "or equal to ") + dump(*least));
        }
        if (const json *most = find(schema, "maximum")) {
            const bool exclusive = flag(schema, "exclusiveMaximum");
            if (value > *most || (exclusive && value == *most))
                invalid(value, path,
                        std::string("should be less than ") + (exclusive ? "" : "or equal to ") + dump(*most));
        }
        if (const json *factor = find(schema, "multipleOf"))
            if (std::fmod(value.get<double>(), factor->get<double>()) != 0)
                invalid(value, path, "should be a multiple of " + dump(*factor));
    }

    void check_string(const std::string &text, const json &schema, const std::string &path) {
        const json *least = find(schema, "minLength"), *most = find(schema, "maxLength");
        if (least && characters(text) < *least)
            invalid(text, path, "should be at least " + dump(*least) + " chars long");
        if (most && characters(text) > *most)
            errors_.push_back({path, "FieldValueTooLong", "Too long: may not be longer than " + dump(*most)});
        if (std::string pattern = text_of(schema, "pattern"); !pattern.empty())
            if (!std::regex_search(text, std::regex(pattern, std::regex::ECMAScript)))
                invalid(text, path, "should match '" + pattern + "'");
        if (text_of(schema, "format") == "date-time") {
            try {
                canonical_time(text, false);
            } catch (const TypeMismatch &) {
                errors_.push_back({path, "FieldValueTypeInvalid",
                                   "Invalid value: " + go_quoted(text) + ": " + path +
                                       " in body must be of type date-time: " + go_quoted(text)});
            }
        }
    }

    void too_many(size_t count, const json &most, const std::string &path) {
        errors_.push_back({path, "FieldValueTooMany",
                           "Too many: " + std::to_string(count) + ": must have at most " + dump(most) + " items"});
    }

    void check_list(const json &list, const json &schema, const std::string &path) {
        if (const json *most = find(schema, "maxItems"); most && list.size() > *most)
            too_many(list.size(), *most, path);
        if (const json *least = find(schema, "minItems"); least && list.size() < *least)
            invalid(list.size(), path, "should have at least " + dump(*least) + " items");
        const std::string kind = text_of(schema, "x-kubernetes-list-type");
        std::set<std::string> seen;
        for (size_t i = 0; i < list.size(); i++) {
            if (const json *items = find(schema, "items"))
                check(list[i], *items, at_index(path, i));
            json key = list[i];
            if (kind == "map") {
                key = json::object();
                for (const auto &name : schema.at("x-kubernetes-list-map-keys"))
                    if (const json *value = find(list[i], name.get<std::string>()))
                        key[name.get<std::string>()] = *value;
            }
            if ((kind == "map" || kind == "set") && !seen.insert(dump(key)).second)
                errors_.push_back(FieldError::duplicate(at_index(path, i), go_value(key, true)));
        }
    }

    void check_object(const json &object, const json &schema, const std::string &path) {
        if (const json *most = find(schema, "maxProperties"); most && object.size() > *most)
            too_many(object.size(), *most, path);
        if (const json *least = find(schema, "minProperties"); least && object.size() < *least)
            invalid(object.size(), path, "should have at least " + dump(*least) + " properties");
        const json *required = find(schema, "required");
        std::set<std::string> missing;
        for (size_t i = 0; required && i < required->size(); i++) {
            const std::string name = (*required)[i];
            if (const json *value = find(object, name); value && !value->is_null())
                continue;
            missing.insert(name);
            errors_.push_back(FieldError::required(below(path, name), ""));
        }
        for (const auto &[name, member] : object.items())
            if (const json *inner = member_schema(schema, name); inner && !missing.contains(name))
                check(member, *inner, below(path, name));
    }

    std::vector<FieldError> &errors_;
};

} // namespace

json CustomSchema::decode(const json &object, Decoder decoder, std::vector<std::string> *unknown) const {
    json out = object.is_object() ? object : json::object();
    const json *given = find(out, "metadata");
    std::vector<std::string> in_metadata;
    json metadata = go_form(metadata_, given ? *given : json::object(), decoder, unknown ? &in_metadata : nullptr);
    if (metadata["creationTimestamp"].is_null())
        metadata.erase("creationTimestamp");
    for (const char *own : {"metadata", "kind", "apiVersion"})
        out.erase(own);
    shorten_numbers(out);
    prune(out, schema_, "", unknown);
    for (const auto &path : in_metadata)
        unknown->push_back("metadata." + path);
    set_defaults(out, schema_);
    out["metadata"] = std::move(metadata);
    return out;
}

void CustomSchema::validate(const json &object, std::vector<FieldError> &errors) const {
    json own = object;
    own.erase("metadata");
    Validator(errors).check(own, schema_, "");
}

} // namespace kubesim
