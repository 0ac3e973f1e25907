// What the signals' JSON has in common; see the header. Any process that takes telemetry.
#include "telemetry/otlp/otlp_json.hpp"

namespace dbnet::telemetry::json {
namespace {

bool read_key_value(Intake &intake, JsonbBuilder &builder, Value &entry, unsigned depth) {
    const uint32_t position = builder.position();
    std::string_view key;
    bool is_kept = true;
    const bool is_whole = entry.each_field(intake, "attribute", [&](std::string_view name, Value &value) {
        if (name == "key")
            return value.read(intake, "key", key);
        if (name == "value") {
            builder.rewind(position);
            is_kept = read_any_value(intake, builder, value, depth);
        }
        return true; // a key may follow, for the reason
    });
    if (builder.position() == position)
        builder.null();
    builder.name(position, key);
    return is_whole && (is_kept || (depth == 1 && intake.within("attribute", key)));
}

// {"values": […]}
template<class Use> bool read_values(Intake &intake, const char *name, Value &value, Use use) {
    return value.each_field(intake, name, [&](std::string_view key, Value &values) {
        return key != "values" || values.each_element(intake, "values", use);
    });
}

} // namespace

bool read_any_value(Intake &intake, JsonbBuilder &builder, Value &any, unsigned depth) {
    if (depth > deepest_value)
        return intake.refuse("nested deeper than " + std::to_string(deepest_value) + " levels");
    const uint32_t position = builder.position();
    const bool is_kept = any.each_field(intake, "value", [&](std::string_view name, Value &value) {
        if (name == "stringValue") {
            std::string_view text;
            builder.rewind(position);
            return value.read(intake, "stringValue", text) && (builder.string(text), true);
        }
        if (name == "intValue") {
            int64_t number;
            builder.rewind(position);
            return value.read(intake, "intValue", number) && (builder.integer(number), true);
        }
        if (name == "boolValue") {
            bool flag;
            builder.rewind(position);
            return value.read(intake, "boolValue", flag) && (builder.boolean(flag), true);
        }
        if (name == "doubleValue") {
            double number;
            builder.rewind(position);
            return value.read(intake, "doubleValue", number) && (builder.floating(number), true);
        }
        if (name == "bytesValue") {
            std::string_view bytes;
            builder.rewind(position);
            return value.read_bytes(intake, "bytesValue", bytes) && (builder.bytes(bytes), true);
        }
        if (name == "arrayValue") {
            builder.rewind(position);
            builder.open_array();
            const bool is_good = read_values(intake, "arrayValue", value, [&](Value &element) {
                return read_any_value(intake, builder, element, depth + 1);
            });
            builder.close(position);
            return is_good;
        }
        if (name == "kvlistValue") {
            builder.rewind(position);
            builder.open_object();
            const bool is_good = read_values(intake, "kvlistValue", value, [&](Value &entry) {
                return read_key_value(intake, builder, entry, depth + 1);
            });
            builder.close(position);
            return is_good;
        }
        return true;
    });
    if (is_kept && builder.position() == position)
        builder.null();
    return is_kept;
}

bool read_attributes(Intake &intake, JsonbBuilder &attributes, Value &list) {
    attributes.clear();
    return add_attributes(intake, attributes, list);
}

bool add_attributes(Intake &intake, JsonbBuilder &attributes, Value &list) {
    return list.each_element(intake, "attributes",
                             [&](Value &entry) { return read_key_value(intake, attributes, entry, 1); });
}

// --- Resources and scopes ---

namespace {

bool put_texts(Intake &intake, JsonbBuilder &builder, const char *name, Value &list) {
    const uint32_t position = builder.position();
    builder.open_array();
    const bool is_kept = list.each_element(intake, "a list of keys", [&](Value &element) {
        std::string_view text;
        return element.read(intake, "a key", text) && (builder.string(text), true);
    });
    builder.close(position);
    builder.name(position, name);
    return is_kept;
}

// As its protobuf counterpart: both lists are there, at the end.
bool put_entity_ref(Intake &intake, JsonbBuilder &refs, Value &ref) {
    const uint32_t position = refs.position();
    refs.open_object();
    for (const char *name : {"id_keys", "description_keys"}) {
        const uint32_t member = refs.position();
        refs.open_array();
        refs.close(member);
        refs.name(member, name);
    }
    const bool is_kept = ref.each_field(intake, "an element", [&](std::string_view key, Value &value) {
        const char *const name = key == "schemaUrl"         ? "schema_url"
                                 : key == "type"            ? "type"
                                 : key == "idKeys"          ? "id_keys"
                                 : key == "descriptionKeys" ? "description_keys"
                                                            : nullptr;
        if (name == nullptr)
            return true;
        if (key.ends_with("Keys"))
            return put_texts(intake, refs, name, value);
        const uint32_t member = refs.position();
        std::string_view text;
        if (!value.read(intake, name, text))
            return false;
        refs.string(text);
        refs.name(member, name);
        return true;
    });
    refs.close(position);
    return is_kept;
}

bool read_resource(Intake &intake, Value &value) {
    Owner &resource = intake.resource;
    return value.each_field(intake, "resource", [&](std::string_view key, Value &field) {
        if (key == "attributes")
            return read_attributes(intake, resource.attributes, field);
        if (key == "droppedAttributesCount")
            return field.read(intake, "droppedAttributesCount", resource.dropped_attributes_count);
        if (key == "entityRefs") {
            resource.entity_refs.clear();
            return field.each_element(intake, "entityRefs", [&](Value &ref) {
                return put_entity_ref(intake, resource.entity_refs, ref) || intake.within("entityRefs");
            });
        }
        return true;
    });
}

bool read_scope(Intake &intake, Value &value) {
    Owner &scope = intake.scope;
    return value.each_field(intake, "scope", [&](std::string_view key, Value &field) {
        if (key == "name")
            return field.read(intake, "name", scope.name);
        if (key == "version")
            return field.read(intake, "version", scope.version);
        if (key == "attributes")
            return read_attributes(intake, scope.attributes, field);
        if (key == "droppedAttributesCount")
            return field.read(intake, "droppedAttributesCount", scope.dropped_attributes_count);
        return true;
    });
}

struct Names {
    const char *resources, *scopes, *items;
    void (*read_item)(Intake &intake, Value &value);
};

constexpr Names names_of[] = {
    {"resourceSpans", "scopeSpans", "spans", read_span},
    {"resourceMetrics", "scopeMetrics", "metrics", read_metric},
    {"resourceLogs", "scopeLogs", "logRecords", read_log_record},
};

// What holds records must have the right type, or nobody knows how many are lost: then the whole is refused.
[[noreturn]] void wrong_type(const std::string &name, const char *type) {
    throw Unreadable("the body is no OTLP request: " + (name.empty() ? "it" : name) + " is no " + type, name);
}

void require_object(const Value &element, const char *list, uint32_t number) {
    if (!element.is_object())
        wrong_type(std::string(list) + "[" + std::to_string(number) + "]", "object");
}

template<class Use> void each_of(Intake &intake, const char *name, Value &list, Use use) {
    if (!list.is_array())
        wrong_type(name, "array");
    list.each_element(intake, name, [&](Value &element) {
        use(element);
        return true;
    });
}

void read_scope_items(Intake &intake, const Names &names, Value &value) {
    require_object(value, names.scopes, intake.scope_number);
    intake.begin_scope();
    value.each_field(intake, names.scopes, [&](std::string_view key, Value &field) {
        if (key == names.items)
            each_of(intake, names.items, field, [&](Value &item) { names.read_item(intake, item); });
        else if ((key == "scope" && !read_scope(intake, field)) ||
                 (key == "schemaUrl" && !field.read(intake, "schemaUrl", intake.scope.schema_url)))
            intake.refuse_owner(intake.scope);
        return true;
    });
    intake.end_scope();
    ++intake.scope_number;
}

void read_resource_items(Intake &intake, const Names &names, Value &value) {
    require_object(value, names.resources, intake.resource_number);
    intake.begin_resource();
    value.each_field(intake, names.resources, [&](std::string_view key, Value &field) {
        if (key == names.scopes)
            each_of(intake, names.scopes, field, [&](Value &scope) { read_scope_items(intake, names, scope); });
        else if ((key == "resource" && !read_resource(intake, field)) ||
                 (key == "schemaUrl" && !field.read(intake, "schemaUrl", intake.resource.schema_url)))
            intake.refuse_owner(intake.resource);
        return true;
    });
    intake.end_resource();
    ++intake.resource_number;
}

// One parser serves all bodies of the process; what a big one made it allocate is given back.
class SharedParser {
public:
    SharedParser() : parser_(slot()) {
        if (!parser_)
            parser_ = std::make_unique<simdjson::ondemand::parser>();
    }
    SharedParser(const SharedParser &) = delete;
    ~SharedParser() {
        constexpr size_t largest_kept = 4 * 1024 * 1024; // bytes of JSON
        if (parser_->capacity() > largest_kept)
            parser_.reset();
    }
    simdjson::ondemand::parser &operator*() { return *parser_; }

private:
    using Slot = std::unique_ptr<simdjson::ondemand::parser>;
    static Slot &slot() {
        static Slot *const slot = new Slot; // lives as long as the process
        return *slot;
    }

    Slot &parser_;
};

} // namespace

void read_request(Intake &intake, Signal signal, std::string_view body) {
    const Names &names = names_of[static_cast<size_t>(signal)];
    if (body.starts_with("\xEF\xBB\xBF")) // byte order mark
        body.remove_prefix(3);
    // simdjson reads some bytes beyond the end. Texts of the records are views into this copy.
    char *const copy = intake.batch.arena.allocate(body.size() + simdjson::SIMDJSON_PADDING);
    std::copy(body.begin(), body.end(), copy);
    std::fill_n(copy + body.size(), simdjson::SIMDJSON_PADDING, ' ');
    SharedParser parser;
    simdjson::ondemand::document document;
    if (const auto problem =
            (*parser).iterate(copy, body.size(), body.size() + simdjson::SIMDJSON_PADDING).get(document))
        unreadable(problem);
    simdjson::ondemand::value root;
    bool is_scalar;
    if (const auto problem = document.is_scalar().get(is_scalar))
        unreadable(problem);
    if (is_scalar)
        wrong_type({}, "object");
    if (const auto problem = document.get_value().get(root))
        unreadable(problem);
    Value request(root);
    if (!request.is_object())
        wrong_type({}, "object");
    request.each_field(intake, "it", [&](std::string_view key, Value &field) {
        if (key == names.resources)
            each_of(intake, names.resources, field, [&](Value &value) { read_resource_items(intake, names, value); });
        return true;
    });
    if (document.current_location().error() != simdjson::OUT_OF_BOUNDS)
        throw Unreadable("the body is no JSON of an OTLP request: something follows the object");
}

} // namespace dbnet::telemetry::json

#include "pg/no_postgres.hpp"
