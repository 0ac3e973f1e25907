// Values as jsonb (see value.hpp). Backends; inside pg::call.
#include "provenance/record/value.hpp"

#include "pg/finally.hpp"
#include "pg/guard.hpp"
#include "pg/spi.hpp"
#include "provenance/record/failures.hpp"

extern "C" {
#include "access/transam.h"
#include "catalog/pg_type.h"
#include "common/shortest_dec.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "pgtime.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/bytea.h"
#include "utils/datetime.h"
#include "utils/float.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"
}

namespace dbnet::provenance {
namespace {

// Nothing in the type, nor in what it is made of, is a user's.
bool is_built_in(Oid type) {
    if (type >= FirstNormalObjectId)
        return false;
    const Oid element = get_element_type(type);
    return !OidIsValid(element) || element < FirstNormalObjectId;
}

// A value of such a type is always its text, as its input function reads it: a cast to json need have no way back.
bool is_scalar(Oid type) {
    return get_typtype(type) == TYPTYPE_BASE && !type_is_array(type);
}

ValueForm::Kind kind_of(Oid type) {
    switch (type) {
    case BOOLOID:
        return ValueForm::Kind::boolean;
    case INT2OID:
        return ValueForm::Kind::int2;
    case INT4OID:
        return ValueForm::Kind::int4;
    case INT8OID:
        return ValueForm::Kind::int8;
    case FLOAT4OID:
    case FLOAT8OID:
        return ValueForm::Kind::floating;
    case NUMERICOID:
        return ValueForm::Kind::numeric;
    case TEXTOID:
    case VARCHAROID:
    case BPCHAROID:
        return ValueForm::Kind::text;
    case NAMEOID:
        return ValueForm::Kind::name;
    case JSONBOID:
        return ValueForm::Kind::jsonb;
    case JSONOID:
        return ValueForm::Kind::json;
    case DATEOID:
    case TIMESTAMPOID:
    case TIMESTAMPTZOID:
        return ValueForm::Kind::time;
    default:
        break;
    }
    switch (get_typtype(type)) {
    case TYPTYPE_ENUM:
        return ValueForm::Kind::output; // its names are read from the catalog, no user's code runs
    case TYPTYPE_BASE:
        if (is_built_in(type))
            return type_is_array(type) ? ValueForm::Kind::composed : ValueForm::Kind::output;
        break;
    case TYPTYPE_RANGE:
    case TYPTYPE_MULTIRANGE:
        if (is_built_in(type))
            return ValueForm::Kind::output;
        break;
    default:
        break;
    }
    return ValueForm::Kind::foreign;
}

void set_number_text(JsonbField &field, const char *text) {
    if (strspn(text, "0123456789+-.eE") == strlen(text)) // neither NaN nor Infinity, which JSON has not
        field.set(DatumGetNumeric(
            DirectFunctionCall3(numeric_in, CStringGetDatum(text), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1))));
    else
        field.set(std::string_view(text));
}

// How a session likes to see values must not show on record: runs f, which writes one, with times in ISO 8601 and UTC
// and the other settings as PostgreSQL has them by itself.
template<class F> void in_fixed_form(F f) {
    pg_tz *const utc = pg_tzset("UTC");
    if (DateStyle == USE_ISO_DATES && IntervalStyle == INTSTYLE_POSTGRES && bytea_output == BYTEA_OUTPUT_HEX &&
        extra_float_digits > 0 && session_timezone == utc)
        return f();
    const int dates = DateStyle, intervals = IntervalStyle, bytes = bytea_output, digits = extra_float_digits;
    pg_tz *const zone = session_timezone;
    DateStyle = USE_ISO_DATES;
    IntervalStyle = INTSTYLE_POSTGRES;
    bytea_output = BYTEA_OUTPUT_HEX;
    extra_float_digits = 1;
    session_timezone = utc;
    pg::finally(f, [=] {
        DateStyle = dates;
        IntervalStyle = intervals;
        bytea_output = bytes;
        extra_float_digits = digits;
        session_timezone = zone;
    });
}

void set_output(JsonbField &field, const ValueForm &form, Datum value) {
    in_fixed_form(
        [&] { field.set(std::string_view(OutputFunctionCall(const_cast<FmgrInfo *>(&form.function), value))); });
}

void set_composed(JsonbField &field, const ValueForm &form, Datum value) {
    in_fixed_form([&] { field.set(DatumGetJsonbP(FunctionCall1(const_cast<FmgrInfo *>(&form.function), value))); });
}

void set_floating(JsonbField &field, const ValueForm &form, Datum value) {
    auto *text = static_cast<char *>(palloc(DOUBLE_SHORTEST_DECIMAL_LEN));
    if (form.type == FLOAT4OID)
        float_to_shortest_decimal_buf(DatumGetFloat4(value), text);
    else
        double_to_shortest_decimal_buf(DatumGetFloat8(value), text);
    set_number_text(field, text);
}

// An output function or a cast to json may be anybody's, and may fail.
void set_foreign(JsonbField &field, const ValueForm &form, Datum value) {
    try {
        pg::in_subtransaction([&] {
            pg::call([&] { form.may_cast ? set_composed(field, form, value) : set_output(field, form, value); });
        });
    } catch (const pg::pg_error &error) {
        count_failure("a value of a column or argument", error.message());
        JsonbField note;
        note.name = "unreadable";
        const std::string &message = error.message();
        pg::call([&] {
            char *text = pnstrdup(message.data(), message.size());
            note.set(std::string_view(text));
            field.set(make_object(&note, 1));
        });
    }
}

} // namespace

ValueForm form_of(Oid declared, MemoryContext context, bool may_cast) {
    ValueForm form;
    form.type = getBaseType(declared);
    form.kind = kind_of(form.type);
    form.may_cast = may_cast && !is_scalar(form.type);
    if (form.kind == ValueForm::Kind::output || (form.kind == ValueForm::Kind::foreign && !form.may_cast)) {
        Oid output = InvalidOid;
        bool is_varlena = false;
        getTypeOutputInfo(form.type, &output, &is_varlena);
        fmgr_info_cxt(output, &form.function, context);
    } else if (form.kind == ValueForm::Kind::composed || form.kind == ValueForm::Kind::foreign) {
        fmgr_info_cxt(F_TO_JSONB, &form.function, context);
        const MemoryContext before = MemoryContextSwitchTo(context);
        // get_fn_expr_argtype() wants a call.
        form.function.fn_expr = reinterpret_cast<Node *>(
            makeFuncExpr(F_TO_JSONB, JSONBOID, list_make1(makeNullConst(form.type, -1, InvalidOid)), InvalidOid,
                         InvalidOid, COERCE_EXPLICIT_CALL));
        MemoryContextSwitchTo(before);
    }
    return form;
}

void set_value(JsonbField &field, const ValueForm &form, Datum value) {
    switch (form.kind) {
    case ValueForm::Kind::boolean:
        return field.set(DatumGetBool(value));
    case ValueForm::Kind::int2:
        return field.set(int64_to_numeric(DatumGetInt16(value)));
    case ValueForm::Kind::int4:
        return field.set(int64_to_numeric(DatumGetInt32(value)));
    case ValueForm::Kind::int8:
        return field.set(int64_to_numeric(DatumGetInt64(value)));
    case ValueForm::Kind::floating:
        return set_floating(field, form, value);
    case ValueForm::Kind::numeric: {
        const Numeric number = DatumGetNumeric(value);
        if (numeric_is_nan(number) || numeric_is_inf(number))
            return field.set(
                std::string_view(DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(number)))));
        return field.set(number);
    }
    case ValueForm::Kind::text: {
        const auto *bytes = DatumGetTextPP(value);
        return field.set(std::string_view(VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes)));
    }
    case ValueForm::Kind::name:
        return field.set(std::string_view(NameStr(*DatumGetName(value))));
    case ValueForm::Kind::jsonb:
        return field.set(DatumGetJsonbP(value));
    case ValueForm::Kind::json:
        return field.set(DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(TextDatumGetCString(value)))));
    case ValueForm::Kind::time: {
        auto *text = static_cast<char *>(palloc(MAXDATELEN + 1));
        const int utc = 0;
        JsonEncodeDateTime(text, value, form.type, form.type == TIMESTAMPTZOID ? &utc : nullptr);
        return field.set(std::string_view(text));
    }
    case ValueForm::Kind::output:
        return set_output(field, form, value);
    case ValueForm::Kind::composed:
        return set_composed(field, form, value);
    case ValueForm::Kind::foreign:
        return set_foreign(field, form, value);
    }
}

} // namespace dbnet::provenance
