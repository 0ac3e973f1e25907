// dbnet.why() and its kin ask, in their caller's name, for what the tables of provenance hold, which nobody may read.
// The answer to dbnet.NAME(…) is given by dbnet.answer_NAME(caller oid, …), SQL that runs with the extension's rights,
// checks the caller's rights on every table that it tells of, and calls no code of users'. Runs in backends.
#include "pg/guard.hpp"

extern "C" {
#include "access/htup_details.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/tuplestore.h"
}

namespace dbnet::provenance {
namespace {

constexpr int most_arguments = 8;
constexpr long rows_at_once = 1000;

struct Question {
    const char *sql;
    int count; // of arguments, the caller first
    Oid types[most_arguments + 1];
    Datum values[most_arguments + 1];
    char nulls[most_arguments + 1];
};

Question question_of(FunctionCallInfo fcinfo) {
    Question question{};
    StringInfoData text;
    initStringInfo(&text);
    appendStringInfo(&text, "SELECT * FROM dbnet.%s(",
                     quote_identifier(psprintf("answer_%s", get_func_name(fcinfo->flinfo->fn_oid))));
    question.types[0] = OIDOID;
    question.values[0] = ObjectIdGetDatum(GetUserId());
    question.nulls[0] = ' ';
    appendStringInfoString(&text, "$1");
    for (int index = 0; index < fcinfo->nargs && index < most_arguments; ++index) {
        question.types[index + 1] = get_fn_expr_argtype(fcinfo->flinfo, index);
        question.values[index + 1] = fcinfo->args[index].value;
        question.nulls[index + 1] = fcinfo->args[index].isnull ? 'n' : ' ';
        appendStringInfo(&text, ", $%d", index + 2);
    }
    appendStringInfoChar(&text, ')');
    question.sql = text.data;
    question.count = fcinfo->nargs + 1;
    return question;
}

// Runs f with the extension's rights; inside pg::call. An error aborts the (sub)transaction, which gives the caller
// back its identity.
template<class F> void with_our_rights(F f) {
    Oid user = InvalidOid;
    int security_context = 0;
    GetUserIdAndSecContext(&user, &security_context);
    SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID, security_context | SECURITY_LOCAL_USERID_CHANGE);
    SPI_connect();
    f();
    SPI_finish();
    SetUserIdAndSecContext(user, security_context);
}

void answer(Question &question, ReturnSetInfo *result) {
    const Portal portal = SPI_cursor_open_with_args(nullptr, question.sql, question.count, question.types,
                                                    question.values, question.nulls, true, 0);
    for (;;) {
        SPI_cursor_fetch(portal, true, rows_at_once);
        if (SPI_processed == 0)
            break;
        for (uint64 row = 0; row < SPI_processed; ++row)
            tuplestore_puttuple(result->setResult, SPI_tuptable->vals[row]);
        SPI_freetuptable(SPI_tuptable);
    }
    SPI_cursor_close(portal);
}

} // namespace

// A function that returns a set of rows, with the columns of its answer_NAME.
DBNET_FUNCTION(dbnet_question) {
    pg::call([&] {
        InitMaterializedSRF(fcinfo, 0);
        Question question = question_of(fcinfo);
        with_our_rights([&] { answer(question, reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo)); });
    });
    return Datum{0};
}

// One that does something and returns nothing.
DBNET_FUNCTION(dbnet_request) {
    pg::call([&] {
        Question question = question_of(fcinfo);
        with_our_rights([&] {
            SPI_execute_with_args(question.sql, question.count, question.types, question.values, question.nulls, false,
                                  0);
        });
    });
    PG_RETURN_VOID();
}

} // namespace dbnet::provenance
