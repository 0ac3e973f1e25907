// dbnet.get(), set() and unset(): fields of a document by path, elements of lists by their keys. The values stay
// PostgreSQL's jsonb, so that no number loses digits; only the path is read in C++. Runs in backends.
#include "kubernetes/object/path.hpp"
#include "mirror/functions/sql_arguments.hpp"
#include "pg/spi.hpp"

extern "C" {
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"
}

namespace dbnet::mirror {
namespace {

using kubernetes::FieldPath;
using kubernetes::Segment;
using kubernetes::Selector;

FieldPath parse_path(const std::string &text) {
    try {
        return FieldPath::parse(text);
    } catch (const kubernetes::Failure &failure) {
        throw pg::error(ERRCODE_INVALID_PARAMETER_VALUE, failure.what())
            .hint("Paths look like spec.replicas, labels[\"app.kubernetes.io/name\"] or containers[name=app].image.");
    }
}

std::string text_until(const FieldPath &path, size_t length) {
    const auto &all = path.segments();
    return length == 0 ? "the document" : FieldPath({all.begin(), all.begin() + static_cast<ptrdiff_t>(length)}).text();
}

const char *kind_of(const JsonbValue &value) {
    switch (value.type) {
    case jbvNull:
        return "null";
    case jbvString:
        return "text";
    case jbvNumeric:
        return "a number";
    case jbvBool:
        return "true or false";
    default:
        return JsonContainerIsArray(value.val.binary.data) ? "a list" : "an object";
    }
}

bool is_object(const JsonbValue &value) {
    return value.type == jbvBinary && JsonContainerIsObject(value.val.binary.data);
}
bool is_list(const JsonbValue &value) {
    return value.type == jbvBinary && JsonContainerIsArray(value.val.binary.data) &&
           !JsonContainerIsScalar(value.val.binary.data);
}

// The whole document as a value; a scalar comes out of its wrapping.
JsonbValue root_of(Jsonb *document) {
    return pg::call([&] {
        JsonbValue root;
        if (JB_ROOT_IS_SCALAR(document)) {
            root = *getIthJsonbValueFromContainer(&document->root, 0);
        } else {
            root.type = jbvBinary;
            root.val.binary.data = &document->root;
            root.val.binary.len = static_cast<int>(VARSIZE_ANY_EXHDR(document));
        }
        return root;
    });
}

const JsonbValue *member_of(const JsonbValue &object, std::string_view name) {
    return pg::call([&] {
        JsonbValue key;
        key.type = jbvString;
        key.val.string.val = const_cast<char *>(name.data());
        key.val.string.len = static_cast<int>(name.size());
        return findJsonbValueFromContainer(object.val.binary.data, JB_FOBJECT, &key);
    });
}

// A number or boolean in a selector also stands for the text of the same spelling.
bool selects(const Selector &selector, const JsonbValue &value) {
    if (value.type == jbvString)
        return selector.value == std::string_view(value.val.string.val, static_cast<size_t>(value.val.string.len));
    if (value.type == jbvBool)
        return selector.type == Selector::Type::boolean && selector.value == (value.val.boolean ? "true" : "false");
    if (value.type != jbvNumeric || selector.type != Selector::Type::integer)
        return false;
    const char *text =
        pg::call([&] { return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value.val.numeric))); });
    return selector.value == text;
}

bool selects(const Segment &segment, const JsonbValue &element) {
    if (!is_object(element))
        return false;
    for (const Selector &selector : segment.selectors) {
        const JsonbValue *value = member_of(element, selector.key);
        if (value == nullptr || !selects(selector, *value))
            return false;
    }
    return true;
}

// Where a path leads in a document: text of each step for jsonb's own functions (names and positions), as far as there
// is something.
struct Place {
    std::vector<std::string> steps;
    JsonbValue value; // of the last step
};

// The one element. Throws when there is none or when there are several.
void step_into_element(Place &place, const FieldPath &path, size_t depth) {
    const Segment &segment = path.segments()[depth];
    const std::string wanted = FieldPath({segment}).text();
    if (!is_list(place.value))
        throw pg::error(ERRCODE_SQL_JSON_ARRAY_NOT_FOUND,
                        text_until(path, depth) + " is " + kind_of(place.value) + ", so it has no element " + wanted)
            .detail("The path is " + path.text() + ".");
    JsonbContainer *list = place.value.val.binary.data;
    const uint32 count = JsonContainerSize(list);
    size_t matches = 0;
    JsonbValue found{};
    for (uint32 i = 0; i < count; i++) {
        const JsonbValue *element = pg::call([&] { return getIthJsonbValueFromContainer(list, i); });
        if (!selects(segment, *element) || ++matches > 1)
            continue;
        found = *element;
        place.steps.push_back(std::to_string(i));
    }
    if (matches == 0)
        throw pg::error(ERRCODE_INVALID_SQL_JSON_SUBSCRIPT, text_until(path, depth) + " has no element " + wanted)
            .detail("The path is " + path.text() + "; the list has " + std::to_string(count) + " elements.");
    if (matches > 1)
        throw pg::error(ERRCODE_MORE_THAN_ONE_SQL_JSON_ITEM,
                        text_until(path, depth) + " has " + std::to_string(matches) + " elements " + wanted)
            .detail("The path is " + path.text() + ".")
            .hint("Name more fields: [port=53,protocol=UDP].");
    place.value = found;
}

// Follows the path until something is absent. Throws where it leads through a value of another kind.
Place find_place(Jsonb *document, const FieldPath &path) {
    Place place{{}, root_of(document)};
    for (size_t depth = 0; depth < path.segments().size(); depth++) {
        const Segment &segment = path.segments()[depth];
        if (segment.is_element()) {
            step_into_element(place, path, depth);
            continue;
        }
        if (place.value.type == jbvNull)
            return place; // as good as absent
        if (!is_object(place.value))
            throw pg::error(ERRCODE_SQL_JSON_OBJECT_NOT_FOUND, text_until(path, depth) + " is " + kind_of(place.value) +
                                                                   ", so it has no field \"" + segment.name + "\"")
                .detail("The path is " + path.text() + ".")
                .hint(is_list(place.value) ? "Name an element by its fields, for example [name=app]." : "");
        const JsonbValue *member = member_of(place.value, segment.name);
        if (member == nullptr)
            return place;
        place.steps.push_back(segment.name);
        place.value = *member;
    }
    return place;
}

Datum array_of(const std::vector<std::string> &steps) {
    return pg::call([&] { return pg::Argument(steps).datum(); });
}

Datum copy_of(const JsonbValue &value) {
    return pg::call([&] { return JsonbPGetDatum(JsonbValueToJsonb(const_cast<JsonbValue *>(&value))); });
}

Jsonb *document_argument(FunctionCallInfo fcinfo, int number) {
    return pg::call([&] { return PG_GETARG_JSONB_P(number); });
}

// {"name": value}
Datum wrapped(const std::string &name, Datum value) {
    return pg::call([&] {
        JsonbParseState *state = nullptr;
        JsonbValue key, inner;
        key.type = jbvString;
        key.val.string.val = const_cast<char *>(name.data());
        key.val.string.len = static_cast<int>(name.size());
        Jsonb *content = DatumGetJsonbP(value);
        pushJsonbValue(&state, WJB_BEGIN_OBJECT, nullptr);
        pushJsonbValue(&state, WJB_KEY, &key);
        if (JB_ROOT_IS_SCALAR(content)) {
            inner = *getIthJsonbValueFromContainer(&content->root, 0);
        } else {
            inner.type = jbvBinary;
            inner.val.binary.data = &content->root;
            inner.val.binary.len = static_cast<int>(VARSIZE_ANY_EXHDR(content));
        }
        pushJsonbValue(&state, WJB_VALUE, &inner);
        return JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, nullptr)));
    });
}

} // namespace

DBNET_FUNCTION(dbnet_get) {
    const FieldPath path = parse_path(*text_argument(fcinfo, 1));
    const Place place = find_place(document_argument(fcinfo, 0), path);
    if (place.steps.size() < path.segments().size())
        PG_RETURN_NULL();
    return copy_of(place.value);
}

DBNET_FUNCTION(dbnet_value_at) {
    const FieldPath path = parse_path(*text_argument(fcinfo, 1));
    Jsonb *document = document_argument(fcinfo, 0);
    Place place;
    try {
        place = find_place(document, path);
    } catch (const pg::error &) {
        PG_RETURN_NULL();
    }
    if (place.steps.size() < path.segments().size())
        PG_RETURN_NULL();
    return copy_of(place.value);
}

DBNET_FUNCTION(dbnet_set) {
    const FieldPath path = parse_path(required(text_argument(fcinfo, 1), "path"));
    if (PG_ARGISNULL(2))
        throw pg::error(ERRCODE_NULL_VALUE_NOT_ALLOWED, "argument value must not be NULL")
            .hint("dbnet.unset() removes a field; a text is written as '\"nginx\"' or to_jsonb('nginx'::text).");
    Jsonb *document = PG_ARGISNULL(0) ? nullptr : document_argument(fcinfo, 0);
    if (document == nullptr) // a column without a value yet
        document = pg::call([] { return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum("{}"))); });
    Place place = find_place(document, path);
    Datum value = PG_GETARG_DATUM(2);
    // What is missing on the way is made from its end; only objects are, as elements have to be found.
    for (size_t depth = path.segments().size(); depth > place.steps.size() + 1; depth--) {
        const Segment &segment = path.segments()[depth - 1];
        if (segment.is_element())
            throw pg::error(ERRCODE_INVALID_SQL_JSON_SUBSCRIPT,
                            text_until(path, depth - 1) + " has no element " + FieldPath({segment}).text())
                .detail("The path is " + path.text() + "; there is no such list.")
                .hint("Set the list itself first.");
        value = wrapped(segment.name, value);
    }
    const bool replaces_null = place.value.type == jbvNull && place.steps.size() < path.segments().size();
    if (replaces_null) {
        value = wrapped(path.segments()[place.steps.size()].name, value);
        if (place.steps.empty())
            return value;
    } else if (place.steps.size() < path.segments().size()) {
        place.steps.push_back(path.segments()[place.steps.size()].name);
    }
    const Datum steps = array_of(place.steps);
    return pg::call(
        [&] { return DirectFunctionCall4(jsonb_set, JsonbPGetDatum(document), steps, value, BoolGetDatum(true)); });
}

DBNET_FUNCTION(dbnet_unset) {
    const FieldPath path = parse_path(*text_argument(fcinfo, 1));
    Jsonb *document = document_argument(fcinfo, 0);
    const Place place = find_place(document, path);
    if (place.steps.size() < path.segments().size())
        throw pg::error(ERRCODE_SQL_JSON_MEMBER_NOT_FOUND, text_until(path, place.steps.size()) + " has no field \"" +
                                                               path.segments()[place.steps.size()].name + "\"")
            .detail("The path is " + path.text() + ".");
    const Datum steps = array_of(place.steps);
    return pg::call([&] { return DirectFunctionCall2(jsonb_delete_path, JsonbPGetDatum(document), steps); });
}

} // namespace dbnet::mirror
