package rpc

import (
	"reflect"
	"strconv"
	"strings"

	"github.com/cloudwego/gopkg/protocol/thrift"
	"github.com/cloudwego/kitex/pkg/serviceinfo"

	"gannet/idl/kitex_gen/gannet/gateway"
	"gannet/idl/kitex_gen/gannet/logic"
	"gannet/idl/kitex_gen/gannet/transfer"
)

// shape says, for the fields of a struct, what a generated decoder takes for granted without
// checking: the type of the elements of each list. If a peer sends another type, the decoder goes
// on reading in the middle of a value, and allocates room for any bytes that it takes for a
// length.
type shape map[int16]believed

type believed struct {
	element thrift.TType // of a list; 0 for all others
	inner   shape        // of a struct; nil for all other fields
}

// shapes has the shape of each method by name. It joins the arguments and the results, whose
// fields have different numbers.
var shapes = shapesOf(logic.NewServiceInfo(), gateway.NewServiceInfo(), transfer.NewServiceInfo())

func shapesOf(services ...*serviceinfo.ServiceInfo) map[string]shape {
	all := map[string]shape{}
	for _, service := range services {
		for name, method := range service.Methods {
			s := shape{}
			s.add(reflect.TypeOf(method.NewArgs()).Elem())
			s.add(reflect.TypeOf(method.NewResult()).Elem())
			all[name] = s
		}
	}
	return all
}

// add adds the fields of a generated struct, whose tags say number, need and kind of each.
func (s shape) add(of reflect.Type) {
	for i := range of.NumField() {
		field := of.Field(i)
		tag := strings.SplitN(field.Tag.Get("frugal"), ",", 3)
		number, err := strconv.ParseInt(tag[0], 10, 16)
		if err != nil || len(tag) != 3 {
			panic("rpc: a generated field without number and kind: " + of.Name() + "." + field.Name)
		}
		var b believed
		switch kind := tag[2]; {
		case kind == "list<i32>":
			b.element = thrift.I32
		case kind == "list<i64>":
			b.element = thrift.I64
		case kind == "list<binary>", kind == "list<string>":
			b.element = thrift.STRING
		case strings.Contains(kind, "<"):
			panic("rpc: nobody checks the elements of " + of.Name() + "." + field.Name)
		case field.Type.Kind() == reflect.Pointer && field.Type.Elem().Kind() == reflect.Struct:
			b.inner = shape{}
			b.inner.add(field.Type.Elem())
		}
		s[int16(number)] = b
	}
}
