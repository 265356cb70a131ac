package command

import (
	"encoding"
	"fmt"
	"reflect"
	"time"

	"github.com/alecthomas/kong"
)

var (
	durationType = reflect.TypeFor[time.Duration]()
	textType     = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// checkValue says what is wrong with the value that a settings file has for a flag. table names the
// table that has the value; "" is the top of the file. checkValue checks the type first, because
// kong takes whatever it can convert: it reads a bare number as a duration in nanoseconds, and 30
// in place of 30 days would have removed all history.
func checkValue(flag *kong.Flag, value any, table string) error {
	where := fmt.Sprintf("%q", flag.Name)
	if table != "" {
		where += fmt.Sprintf(" in the table %q", table)
	}
	if wanted := misfit(flag, flag.Target.Type(), value); wanted != "" {
		return fmt.Errorf("the settings file has %s for %s: it has to be %s", kindOf(value), where, wanted)
	}
	target := reflect.New(flag.Target.Type()).Elem()
	if err := flag.Mapper.Decode(&kong.DecodeContext{Value: flag.Value, Scan: kong.Scan().PushTyped(value, kong.FlagValueToken)}, target); err != nil {
		return fmt.Errorf("the settings file has for %s what cannot be used: %w", where, err)
	}
	if flag.Enum != "" && !flag.EnumMap()[fmt.Sprint(target)] {
		return fmt.Errorf("the settings file has %q for %s: it has to be one of %s", fmt.Sprint(target), where, flag.Enum)
	}
	return nil
}

// misfit says what a value must be if its type does not fit the flag, and gives "" if the type
// fits. A text in quotes fits every flag, as on the command line: kong parses it.
func misfit(flag *kong.Flag, target reflect.Type, value any) string {
	if _, isText := value.(string); isText {
		return ""
	}
	_, isWhole := value.(int64)
	_, isBool := value.(bool)
	_, isNumber := value.(float64)
	switch kind := target.Kind(); {
	case target == durationType:
		return `a duration in quotes, with its unit, such as "720h", "30m" or "10s"`
	case reflect.PointerTo(target).Implements(textType):
		return fmt.Sprintf("a text in quotes, such as %q", flag.Default)
	case kind == reflect.String:
		return "a text in quotes"
	case kind == reflect.Bool && !isBool:
		return "true or false"
	case kind >= reflect.Int && kind <= reflect.Uint64 && !isWhole:
		return "a whole number"
	case (kind == reflect.Float32 || kind == reflect.Float64) && !isWhole && !isNumber:
		return "a number"
	case kind == reflect.Pointer:
		return misfit(flag, target.Elem(), value)
	case kind == reflect.Slice:
		return misfitList(target.Elem(), value)
	}
	return ""
}

// misfitList is misfit for a list: all its elements must be texts, or all whole numbers.
func misfitList(element reflect.Type, value any) string {
	wanted := `a list of texts in quotes, such as ["10.0.0.1:6379", "10.0.0.2:6379"]`
	texts := element.Kind() == reflect.String
	if !texts {
		wanted = "a list of whole numbers, such as [1, 2]"
	}
	list, isList := value.([]any)
	if !isList {
		return wanted
	}
	for _, v := range list {
		_, isText := v.(string)
		_, isWhole := v.(int64)
		if texts && !isText || !texts && !isWhole {
			return wanted
		}
	}
	return ""
}

// kindOf names the type of a value. The value itself may be a secret.
func kindOf(value any) string {
	switch list := value.(type) {
	case int64, float64:
		return "a bare number"
	case bool:
		return "true or false"
	case string:
		return "a text"
	case []any:
		for _, v := range list {
			if _, isText := v.(string); !isText {
				return "a list with " + kindOf(v)
			}
		}
		return "a list"
	case []map[string]any, map[string]any:
		return "a table"
	}
	return "a date" // the only other type that TOML has
}
